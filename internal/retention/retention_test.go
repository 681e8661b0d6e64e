package retention_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retention"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

var now = time.Date(2026, 3, 31, 4, 40, 0, 0, time.UTC)

const day = 24 * time.Hour

// things are what a store could erase: when each was done with.
type things struct {
	at     map[issuance.Erasable][]time.Time
	fail   issuance.Erasable
	calls  int
	onCall func()
}

var errDisk = errors.New("disk")

func (s *things) Erase(_ context.Context, kind issuance.Erasable, before time.Time, max int) (int64, error) {
	s.calls++
	if s.onCall != nil {
		s.onCall()
	}
	if kind == s.fail {
		return 0, errDisk
	}
	var n int64
	for len(s.at[kind]) > 0 && s.at[kind][0].Before(before) && n < int64(max) {
		s.at[kind] = s.at[kind][1:]
		n++
	}
	return n, nil
}

func ago(days ...int) (times []time.Time) {
	for _, d := range days {
		times = append(times, now.Add(-time.Duration(d)*day))
	}
	return times
}

func runner(t *testing.T, s *things, keep retention.Keep) *retention.Runner {
	t.Helper()
	r, err := retention.New(retention.Config{Keep: keep, SliceSize: 2},
		retention.Deps{Store: s, Now: func() time.Time { return now }, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestErasesWhatIsOldEnough(t *testing.T) {
	s := &things{at: map[issuance.Erasable][]time.Time{
		issuance.ErasePayloads:      ago(40, 35, 33, 32, 31, 30, 1), // exactly 30 days is not over 30 days
		issuance.EraseNotifications: ago(91, 2),
		issuance.EraseIdleRuns:      ago(9),
	}}
	sum, err := runner(t, s, retention.Keep{issuance.ErasePayloads: 30 * day, issuance.EraseNotifications: 90 * day}).RunOnce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(retention.Summary{Payloads: 5, Notifications: 1}, sum); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if len(s.at[issuance.EraseIdleRuns]) != 1 {
		t.Error("a kind without a time was erased")
	}
}

func TestOneKindDoesNotKeepTheOthers(t *testing.T) {
	s := &things{fail: issuance.ErasePayloads, at: map[issuance.Erasable][]time.Time{issuance.EraseRuns: ago(500)}}
	sum, err := runner(t, s, retention.Keep{issuance.ErasePayloads: day, issuance.EraseRuns: 400 * day}).RunOnce(t.Context())
	if !errors.Is(err, errDisk) {
		t.Errorf("error %v", err)
	}
	if sum.Total() != 1 {
		t.Errorf("erased %d", sum.Total())
	}
}

func TestStopsBetweenSlices(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &things{onCall: cancel, at: map[issuance.Erasable][]time.Time{issuance.EraseRuns: ago(9, 9, 9, 9, 9)}}
	sum, err := runner(t, s, retention.Keep{issuance.EraseRuns: day}).RunOnce(ctx)
	if !errors.Is(err, context.Canceled) || sum.Runs != 2 || s.calls != 1 {
		t.Errorf("erased %d in %d slices, error %v", sum.Runs, s.calls, err)
	}
}

func TestRefusesHours(t *testing.T) {
	_, err := retention.New(retention.Config{Keep: retention.Keep{issuance.EraseRuns: time.Hour}},
		retention.Deps{Store: &things{}, Now: time.Now})
	if err == nil {
		t.Error("an hour was taken")
	}
}
