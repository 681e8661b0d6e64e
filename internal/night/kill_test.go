package night_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/rehearsal"
)

const (
	ciKills    = 40  // of all tests together
	manyKills  = 100 // from here on, worlds work side by side
	worlds     = 4
	checkAfter = 100 // kills, then all must settle and be compared
	underway   = 90  // orders, at least, that D1 does not have yet
)

// nights returns how often to kill, and the seed.
func nights(t *testing.T) (kills int, seed uint64) {
	t.Helper()
	kills, seed = ciKills, rand.Uint64N(1_000_000)
	if underRace {
		kills /= 3
	}
	if text := os.Getenv("CARDBATCH_NIGHT_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		must(t, err)
		kills = n
	}
	if text := os.Getenv("CARDBATCH_NIGHT_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		must(t, err)
		seed = n
	}
	return kills, seed
}

// The real daemon is killed again and again, and nothing is lost or made twice.
func TestNightKilled(t *testing.T) {
	t.Parallel()
	theNight(t, 2, worlds, 0, nil, (*town).one)
}

// The same with several orders in each request.
func TestNightKilledInBatches(t *testing.T) {
	t.Parallel()
	theNight(t, 4, worlds/2, 6, nil, (*town).one)
}

// The same with other processes at work on the same store.
func TestNightKilledTogether(t *testing.T) {
	t.Parallel()
	const never = "0 0 29 2 *" // the daemon has no time for them
	theNight(t, 4, worlds/2, 0, map[string]rehearsal.Job{
		"pickup2": {Like: "pickup", Schedule: never}, "submit2": {Like: "submit", Schedule: never},
		"track2": {Like: "track", Schedule: never}, "report2": {Like: "report", Schedule: never},
	}, (*town).together)
}

// theNight kills one part of all the kills of the night; in a long one over n
// worlds side by side.
func theNight(t *testing.T, part, n, batch int, jobs map[string]rehearsal.Job, die func(*town, string) bool) {
	t.Helper()
	kills, seed := nights(t)
	if kills < manyKills {
		n = 1
	}
	kills /= part
	for i := range n {
		share := kills / n
		if i < kills%n {
			share++
		}
		t.Run(fmt.Sprintf("seed %d", seed+uint64(i)), func(t *testing.T) {
			t.Parallel()
			newTown(t, seed+uint64(i), jobs, batch).live(share, die)
		})
	}
}

// live lets processes die, checks after every death, and settles now and then.
func (w *town) live(kills int, die func(*town, string) bool) {
	w.Helper()
	began := time.Now()
	moments := &deck{rnd: w.rnd}
	caught, inFlight, interrupted := map[string]int{}, 0, 0
	must(w.T, w.daemon.Start(w.Context()))
	for i := range kills {
		w.inTime(i)
		w.feed()
		moment := moments.deal()
		if !die(w, moment) {
			moment = byTime
		}
		caught[moment]++
		if n := w.autopsy(i); n > 0 {
			inFlight += n
			interrupted++
		}
		w.wake()
		if (i+1)%checkAfter == 0 && i+1 < kills {
			w.settle()
			w.verify()
			must(w.T, w.world.D1.Adjust(func(s *settings) { s.Faults = faults() }))
			w.wake()
		}
	}
	w.settle()
	w.verify()
	sum := w.world.D1.Summary()
	w.Logf("%d kills in %s, %d of them with orders in flight (%d); %d files, %d orders, %d requests to D1, %d faults, %d notifications answered 204; "+
		"0 produced twice, 0 lost, all balanced; killed at %s", kills, time.Since(began).Round(time.Second), interrupted, inFlight,
		len(w.bank.files), sum.OrdersAccepted, sum.RequestsReceived, sum.FaultsMade, w.post.total, tally(caught))
	if targeted := kills - caught[byTime]; kills >= ciKills/2 &&
		(targeted < kills/4 || interrupted == 0 || sum.FaultsMade == 0 || sum.NotificationsLost == 0) {
		w.Errorf("the night was too calm to prove anything: %d of %d kills hit the moment they were meant for", targeted, kills)
	}
}

func tally(n map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, n[k]))
	}
	return strings.Join(parts, ", ")
}

// inTime stops a night that go test would end without a word.
func (w *town) inTime(killed int) {
	w.Helper()
	if end, ok := w.Deadline(); ok && time.Until(end) < 2*patience {
		w.Fatalf("only %d kills until go test's -timeout: give it more", killed)
	}
}

// feed keeps work under way.
func (w *town) feed() {
	w.Helper()
	for {
		must(w.T, w.bank.dropOne())
		if len(w.bank.ordered)-w.world.D1.Summary().OrdersAccepted >= underway {
			return
		}
	}
}

// one kills the daemon at a moment, or after a while. It reports whether it
// was at the moment.
func (w *town) one(moment string) bool {
	kill := func() { must(w.T, w.daemon.Kill()) }
	return w.at(moment, kill)
}

func (w *town) at(moment string, kill func()) bool {
	most := 4
	if strings.HasPrefix(moment, "order") {
		most = 60 / max(1, w.batch)
	}
	sprung := w.trap.set(moment, 1+w.rnd.IntN(most), w.rnd.IntN(2) == 0, kill)
	patience := 2500 * time.Millisecond
	if moment == byTime {
		patience = time.Duration(w.rnd.IntN(1000)) * time.Millisecond
	}
	select {
	case <-sprung:
		return true
	case <-time.After(patience):
	}
	if w.trap.disarm() {
		return true
	}
	kill()
	return moment == byTime
}

// together has other processes work beside the daemon, and kills now this one,
// now that, now all but one. Those that are spared go on.
func (w *town) together(moment string) bool {
	for _, job := range []string{"pickup2", "submit2", "submit2", "track2", "report2"} {
		p := w.process("run", job)
		must(w.T, p.Start(w.Context()))
		w.others = append(w.others, p)
	}
	spared := w.rnd.IntN(len(w.others) + 3)
	caught := w.at(moment, func() {
		for i, p := range append(w.others, w.daemon) {
			if i != spared {
				must(w.T, p.Kill())
			}
		}
	})
	w.others = slices.DeleteFunc(w.others, gone)
	return caught
}

// gone reports whether a process has ended.
func gone(p *rehearsal.Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// wake starts the daemon if it is dead.
func (w *town) wake() {
	w.Helper()
	if gone(w.daemon) {
		must(w.T, w.daemon.Start(w.Context()))
	}
}

// autopsy looks at what a death has left, and returns how many orders it
// caught in flight.
func (w *town) autopsy(kill int) (inFlight int) {
	w.Helper()
	if err := w.daemon.Err(); gone(w.daemon) && (err == nil || err.Error() != "signal: killed") {
		w.Errorf("the daemon ended by itself: %v", err)
	}
	w.checkD1()
	if _, err := os.Stat(w.world.Store()); err != nil {
		return 0 // it died before it made one
	}
	s := w.open()
	defer func() { must(w.T, s.Close()) }()
	w.checkAnswered(s)
	if kill%10 == 0 {
		must(w.T, s.Balance(w.Context()))
	}
	batches, err := s.Batches(w.Context(), issuance.BatchFilter{States: []issuance.BatchState{issuance.BatchAccepted}})
	must(w.T, err)
	for _, b := range batches {
		totals, err := s.BatchTotals(w.Context(), b.No)
		must(w.T, err)
		inFlight += int(totals.State(issuance.Submitting))
	}
	if w.Failed() {
		w.FailNow()
	}
	return inFlight
}
