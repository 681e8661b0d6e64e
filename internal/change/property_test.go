package change_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// Whatever is lost, comes twice or dies in between: every change gets an
// outcome, the changes of an order are made in their order, and the address at
// D1 is the one of the last redirect that was made.
func TestNeverTwiceNeverLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(tt *rapid.T) {
		r := newRigFor(t, tt)
		keys := []string{"a", "b", "c"}
		given := 0
		streets := 1
		r.d1.unlisted = rapid.Bool().Draw(tt, "unlisted")
		r.d1.fault = func(int) fault {
			switch rapid.IntRange(0, 9).Draw(tt, "fault") {
			case 0:
				return fault{before: lost()}
			case 1:
				return fault{after: lost()}
			case 2:
				return fault{before: &retry.Error{Class: retry.NotDone, Code: retry.CodeTransport}}
			case 3:
				return fault{mute: true}
			default:
				return fault{}
			}
		}
		for range rapid.IntRange(1, 25).Draw(tt, "steps") {
			switch rapid.IntRange(0, 8).Draw(tt, "step") {
			case 0:
				if given < len(keys) {
					r.give("FAST", keys[given])
					given++
				}
			case 1, 2:
				q := request{kind: rapid.SampledFrom([]issuance.ChangeType{redirect, redirect, both, accelerate, cancel}).Draw(tt, "kind"),
					order: rapid.SampledFrom(keys).Draw(tt, "order")}
				if q.kind.Redirects() {
					streets++
					q.street = fmt.Sprintf("%03d Street", streets)
				}
				r.ask(q)
			case 3:
				r.submit()
			case 4:
				r.crash()
			case 5:
				r.wait(10 * time.Minute)
			case 6:
				r.notifySome(tt)
			default:
				_, _ = r.run() // it may stop early
			}
		}
		r.settle(keys[given:]...)
		for _, key := range keys {
			r.check(key)
		}
	})
}

func newRigFor(t *testing.T, tt *rapid.T) *rig {
	t.Helper()
	r := newRig(t)
	r.TB = tt
	r.cfg.MaxAttempts, r.cfg.UnclearAsks, r.cfg.Wait = 50, 50, 1000*time.Hour
	r.start()
	return r
}

// notifySome delivers some of what D1 has to say, in any order, twice or not at all.
func (r *rig) notifySome(tt *rapid.T) {
	for _, op := range r.d1.all() {
		for range rapid.IntRange(0, 2).Draw(tt, "times") {
			r.notify(op)
		}
	}
}

// settle lets the night end well: all orders come, nothing fails any more.
func (r *rig) settle(keys ...string) {
	r.d1.fault = nil
	for _, key := range keys {
		r.give("FAST", key)
	}
	for range 60 {
		r.wait(10 * time.Minute)
		r.submit()
		r.mustRun()
		r.notifyAll()
		if r.allFinal() {
			return
		}
	}
}

func (r *rig) allFinal() bool {
	for _, key := range []string{"a", "b", "c"} {
		for _, c := range r.changes(key) {
			if !c.State.Final() {
				return false
			}
		}
	}
	return true
}

// check compares what we say became of the changes of an order with D1's record.
func (r *rig) check(key string) {
	p := r.d1.production(key)
	for _, c := range r.changes(key) {
		if !c.State.Final() {
			r.Fatalf("%s of %s is %s", c.Type, key, c.State)
		}
	}
	if p == nil {
		if r.order(key).State != issuance.Cancelled {
			r.Fatalf("order %s is %s and not at D1", key, r.order(key).State)
		}
		return
	}
	// Of what was done to it, a repeat may only follow on itself.
	var made []string
	for _, entry := range p.log {
		if strings.HasSuffix(entry, "SUCCESSFUL") && (len(made) == 0 || made[len(made)-1] != entry) {
			made = append(made, entry)
		}
	}
	redirects := slices.DeleteFunc(slices.Clone(made), func(entry string) bool { return !strings.Contains(entry, "Street") })
	if !slices.IsSortedFunc(redirects, func(a, b string) int { return strings.Compare(street(a), street(b)) }) {
		r.Fatalf("%s was redirected out of order: %q", key, p.log)
	}
	done := 0
	for _, c := range r.changes(key) {
		if c.State == issuance.ChangeDone {
			done++
		}
	}
	if done < len(made) {
		r.Fatalf("%s: %d changes done, D1 made %q", key, done, made)
	}
}

func street(entry string) string {
	i := strings.Index(entry, " Street")
	return entry[i-3 : i]
}
