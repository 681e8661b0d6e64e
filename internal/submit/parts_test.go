package submit

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1)
		var entered atomic.Int64
		for range 5 {
			go func() {
				if l.enter(t.Context()) {
					entered.Add(1)
				}
			}()
			synctest.Wait()
		}
		for _, step := range []struct {
			do   func()
			want int64
		}{
			{func() {}, 1},
			{func() { l.leave() }, 2},
			{func() { l.widen(3) }, 4},
			{func() { l.widen(1); l.leave(); l.leave() }, 4},
			{func() { l.block(true); l.leave() }, 4},
			{func() { l.block(false) }, 5},
		} {
			step.do()
			synctest.Wait()
			if entered.Load() != step.want {
				t.Fatalf("%d entered, want %d", entered.Load(), step.want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if l.enter(ctx) {
			t.Error("entered after the end")
		}
	})
}

func TestSizer(t *testing.T) {
	now := time.Unix(0, 0)
	s := newSizer(8, 500, now)
	for _, step := range []struct {
		after time.Duration
		sent  int64
		want  int
	}{
		{0, 0, 8},
		{10 * time.Millisecond, 400, 8},            // too soon to tell
		{100 * time.Millisecond, 80, 400},          // 800/s
		{1100 * time.Millisecond, 8080, 500},       // 8000/s
		{2100 * time.Millisecond, 8100, 10},        // 20/s
		{3100 * time.Millisecond, 8100, 8},         // nothing
		{3110 * time.Millisecond, 9100, 8},         // too soon again
		{4100 * time.Millisecond, 8100 + 200, 100}, // 200/s
	} {
		if got := s.next(step.sent, now.Add(step.after)); got != step.want {
			t.Errorf("after %s and %d orders: %d, want %d", step.after, step.sent, got, step.want)
		}
	}
}

// TestBrakeProperties: whatever D1 answers, a run that is going well is wide, one that stops has a reason
// and stops in time, and the brake is never looser than one lane.
func TestBrakeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &brake{wide: 16, refusalStop: 20, unreachableStop: 3, unknownStop: 10}
		kinds := []answerKind{accepted, refused, unreachable, unclear, throttled, unopened, givenUp}
		same, lastReason, unreached := 0, "", 0
		for range rapid.IntRange(1, 200).Draw(t, "answers") {
			a := answer{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
			if a.kind == refused {
				a.reason = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "reason")
			}
			switch a.kind {
			case accepted:
				same, unreached = 0, 0
			case refused:
				if a.reason != lastReason {
					same = 0
				}
				same, lastReason, unreached = same+1, a.reason, 0
			case throttled:
				unreached = 0
			case unreachable:
				unreached++
			}
			width, err := b.see(a)
			if width != 1 && width != 16 {
				t.Fatalf("width %d", width)
			}
			if a.kind == accepted && (width != 16 || err != nil) {
				t.Fatalf("after an accepted order: width %d, %v", width, err)
			}
			if errors.Is(err, ErrRefusals) != (same >= 20) {
				t.Fatalf("%d same refusals: %v", same, err)
			}
			if same < 20 && errors.Is(err, ErrUnavailable) != (unreached >= 3 || b.unclear >= 10) {
				t.Fatalf("%d times not reached: %v", unreached, err)
			}
			if err != nil {
				return
			}
		}
	})
}
