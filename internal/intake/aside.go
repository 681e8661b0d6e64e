package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// troubleError says that a file, and not the drop as a whole, gives trouble:
// it cannot be taken, read, or is still being written.
type troubleError struct{ err error }

// Error implements error.
func (e *troubleError) Error() string { return e.err.Error() }

// Unwrap gives what went wrong.
func (e *troubleError) Unwrap() error { return e.err }

var errChanging = errors.New("the file is still being written")

// hastyAttempts is how often a file whose loading was cut short goes before
// others: after that it may be what kills us.
const hastyAttempts = 2

// makeWay sets unfinished files aside that nobody will finish soon, because
// their source is not worked in this run or no longer configured, or because
// they have cut their loading short again and again. Their issuers' other files
// must not wait for them.
func (s *Stage) makeWay(ctx context.Context) error {
	unfinished, err := s.Store.LoadingBatches(ctx, "")
	if err != nil {
		return fmt.Errorf("find unfinished files: %w", err)
	}
	var errs []error
	for _, b := range unfinished {
		var reason string
		switch {
		case b.SetAside:
			continue
		case !s.has(b.Source):
			reason = "its source is not in the configuration any more"
		case s.only != nil && !s.only[b.Source]:
			reason = "its loading was cut short; its source is not worked in this run"
		case b.Attempts > hastyAttempts:
			reason = fmt.Sprintf("its loading was cut short %d times", b.Attempts)
		default:
			continue
		}
		err := s.Store.Adopt(ctx, b.No)
		if errors.Is(err, issuance.ErrClaimed) {
			continue // another process has it
		}
		if err == nil {
			err = s.Store.SetAside(ctx, b.No, reason)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("set batch %s aside: %w", b.ID, err))
			continue
		}
		s.Logger.Warn().Str("source", b.Source).Str("batch", b.ID).Str("file", b.FileName).Msg("set aside: " + reason)
	}
	return errors.Join(errs...)
}

// minAttempts is how often a file must have given trouble, however long ago it
// began, before we give it up.
const minAttempts = 3

// trouble decides what becomes of a file that could not be read: it is set
// aside, so that others need not wait for it, and tried again by every run; or
// it is given up. While the drop as a whole cannot be reached, or the store
// cannot store, no file is to blame.
func (s *Stage) trouble(ctx context.Context, src *Source, b *issuance.Batch, err error) (verdict, error) {
	age := time.Duration(0)
	if !b.TroubledAt.IsZero() {
		age = s.Now().Sub(b.TroubledAt)
	}
	var trouble *troubleError
	if errors.As(err, &trouble) && !errors.Is(err, drop.ErrUnavailable) && src.GiveUpAfter > 0 &&
		age >= src.GiveUpAfter && b.Attempts >= minAttempts {
		s.Logger.Error().Err(err).Str("source", src.Name).Str("batch", b.ID).Str("file", b.FileName).Int("attempt", b.Attempts).
			Dur("duration", age).Msg("given up")
		if err := s.Store.ResetBatch(ctx, b.No); err != nil {
			return verdict{}, fmt.Errorf("reset batch %s: %w", b.ID, err)
		}
		what := "the file could not be read"
		if errors.Is(err, errChanging) {
			what = "the file was still being written"
		}
		return refuse(issuance.FileUnreadable, "%s for %s, in %d attempts", what, age.Round(time.Second), b.Attempts), nil
	}
	return verdict{}, errors.Join(err, s.Store.SetAside(ctx, b.No, shortened(err.Error())))
}

// shortened bounds a text that is kept.
func shortened(text string) string {
	const most = 500
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
