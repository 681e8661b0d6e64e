package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/retry"
)

// TestStatusTable states the decision for every HTTP status there can be.
func TestStatusTable(t *testing.T) {
	t.Parallel()
	exceptions := map[int]retry.Class{
		301: retry.Stop, 307: retry.Stop, 308: retry.Stop,
		401: retry.Stop, 407: retry.Stop,
		408: retry.Unknown,
		421: retry.NotDone, 425: retry.NotDone, 429: retry.NotDone,
	}
	aboutTheRequest := map[int]bool{501: true, 505: true}
	for status := 100; status <= 599; status++ {
		want, ok := exceptions[status]
		if !ok {
			want = retry.Unknown
			if status >= 400 && status <= 499 {
				want = retry.Refused
			}
		}
		redirect := status >= 300 && status <= 399 && want == retry.Unknown
		got, unavailable := retry.Policy{}.Status(status)
		if got != want {
			t.Errorf("status %d is %v, want %v", status, got, want)
		}
		down := status >= 500 && !aboutTheRequest[status]
		if unavailable != (down || redirect) {
			t.Errorf("status %d: unavailable = %v", status, unavailable)
		}
	}
}

func TestBusy503ChangesOnly503(t *testing.T) {
	t.Parallel()
	trusting := retry.Policy{Busy503: true}
	for status := 100; status <= 599; status++ {
		want, _ := retry.Policy{}.Status(status)
		if status == 503 {
			want = retry.NotDone
		}
		if got, _ := trusting.Status(status); got != want {
			t.Errorf("status %d is %v, want %v", status, got, want)
		}
	}
}

// Statuses beyond the standard must never let an order be sent again unasked.
func TestStatusOutsideTheStandardIsUnknown(t *testing.T) {
	t.Parallel()
	for _, status := range []int{-1, 0, 99, 600, 999} {
		if got, _ := (retry.Policy{}).Status(status); got != retry.Unknown {
			t.Errorf("status %d is %v", status, got)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	if retry.Of(nil) != nil {
		t.Error("nil has a class")
	}
	plain := retry.Of(errors.New("anything"))
	if plain.Class != retry.Unknown || plain.Code == "" {
		t.Errorf("an unclassified error is %v with code %q", plain.Class, plain.Code)
	}
	inner := &retry.Error{Class: retry.Refused, Code: "FIELD_INVALID_VALUE"}
	if got := retry.Of(fmt.Errorf("send order: %w", inner)); got != inner {
		t.Errorf("got %v", got)
	}
}

func TestZeroClassIsCareful(t *testing.T) {
	t.Parallel()
	var e retry.Error
	if e.Class != retry.Unknown {
		t.Errorf("zero class is %v", e.Class)
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset")
	for _, c := range []struct {
		name        string
		err         error
		sent        bool
		want        retry.Class
		unavailable bool
	}{
		{"refused connection", reset, false, retry.NotDone, true},
		{"reset while waiting", reset, true, retry.Unknown, true},
		{"deadline while waiting", context.DeadlineExceeded, true, retry.Unknown, true},
		{"deadline before the first byte", context.DeadlineExceeded, false, retry.NotDone, true},
		{"cancelled before the first byte", context.Canceled, false, retry.NotDone, false},
		{"cancelled while waiting", context.Canceled, true, retry.Unknown, false},
	} {
		got := retry.Transport(fmt.Errorf("post: %w", c.err), c.sent)
		if got.Class != c.want || got.Unavailable != c.unavailable {
			t.Errorf("%s: %v, unavailable %v", c.name, got.Class, got.Unavailable)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%s: the cause is lost", c.name)
		}
	}
}

// TestEvents states the decision where no status arrived.
func TestEvents(t *testing.T) {
	t.Parallel()
	cause := errors.New("anything")
	for event, want := range map[retry.Event]struct {
		class retry.Class
		down  bool
	}{
		retry.Unanswered: {retry.Unknown, true},
		retry.Unsent:     {retry.NotDone, true},
		retry.Declined:   {retry.NotDone, false},
		retry.Accepted:   {retry.Done, false},
		retry.Event(99):  {retry.Unknown, false},
	} {
		got := retry.Failed(event, cause)
		if got.Class != want.class || got.Unavailable != want.down || !errors.Is(got, cause) {
			t.Errorf("event %d: %v, unavailable %v", event, got, got.Unavailable)
		}
	}
	var nothing retry.Event
	if got := retry.Failed(nothing, cause); got.Class != retry.Unknown {
		t.Errorf("the zero event is %v", got.Class)
	}
}

func TestClassSent(t *testing.T) {
	t.Parallel()
	for class, want := range map[retry.Class]bool{
		retry.Unknown: true, retry.Refused: true, retry.Done: true, retry.NotDone: false, retry.Stop: false, retry.Class(99): true,
	} {
		if class.Sent() != want {
			t.Errorf("%v.Sent() = %v", class, class.Sent())
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &retry.Error{Class: retry.Refused, Code: "FIELD_INVALID_VALUE", Reason: "consumerId"}
	if got, want := e.Error(), "refused: FIELD_INVALID_VALUE (consumerId)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e = &retry.Error{Class: retry.Stop, Code: "TOKEN", Err: errors.New("no key")}
	if got, want := e.Error(), "stop: TOKEN: no key"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := retry.Backoff{
			First: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "first")),
			Most:  time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "most")),
		}
		asked := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "asked"))
		attempt := rapid.IntRange(-1, 1000).Draw(t, "attempt")
		got := b.Wait(attempt, asked)
		if got < asked || got <= 0 {
			t.Fatalf("waits %v when asked for %v", got, asked)
		}
		if most := max(b.First, b.Most, asked, time.Millisecond); got > most {
			t.Fatalf("waits %v, more than %v", got, most)
		}
	})
}

func TestBackoffGrows(t *testing.T) {
	t.Parallel()
	b := retry.Backoff{First: time.Second, Most: time.Minute}
	for attempt, full := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 20: time.Minute} {
		if got := b.Wait(attempt, 0); got < full/2 || got > full {
			t.Errorf("attempt %d waits %v, want %v to %v", attempt, got, full/2, full)
		}
	}
}
