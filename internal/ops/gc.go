package ops

import (
	"os"
	"runtime/debug"
)

// gcPercent trades a little memory for time: a night keeps a few megabytes
// alive and makes gigabytes of garbage, so that at Go's own 100 the collector
// runs dozens of times a second.
const gcPercent = 150

// TuneGC sets how often the collector runs, unless GOGC does.
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
