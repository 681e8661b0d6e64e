package ops

import (
	"io"
	"time"

	"github.com/rs/zerolog"
)

// NewLogger returns a logger that writes to w what is at least as important as
// level (debug, info, warn, error), as json or for people on a console.
func NewLogger(w io.Writer, level, format string, now func() time.Time) zerolog.Logger {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		parsed = zerolog.InfoLevel
	}
	out := Scrub(w)
	if format == "console" {
		out = zerolog.ConsoleWriter{Out: out, NoColor: true, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(out).Level(parsed).Hook(stamp(now))
}

// stamp puts the time on every line, in UTC, by our clock and not zerolog's global one.
type stamp func() time.Time

// Run implements [zerolog.Hook].
func (now stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str("time", now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}
