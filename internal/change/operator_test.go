package change_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"cardbatch/internal/change"
	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

var anna = issuance.Why{Stage: "operator", Operator: "anna", Reason: "Thales said so"}

// heldChange makes a redirect of order A held, because D1 never tells what
// became of it, with another one waiting behind it.
func heldChange(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.give("SLOW", "A")
	r.submit()
	lost := &retry.Error{Class: retry.Unknown, Code: retry.CodeTransport}
	r.d1.fault = func(int) fault { return fault{before: lost} }
	r.ask(request{kind: issuance.Redirect, order: "A", street: "2 New Street"}, request{kind: issuance.Redirect, order: "A", street: "3 Newer Street"})
	for range 60 {
		r.mustRun()
		if r.changes("A")[0].State == issuance.ChangeHeld {
			break
		}
		r.wait(2 * time.Hour)
	}
	r.want("A", issuance.ChangeHeld, issuance.ChangeWaiting)
	r.d1.fault = nil
	return r
}

func TestReleasedChangeIsAskedAboutFirst(t *testing.T) {
	r := heldChange(t)
	c, err := r.store.ReleaseChange(context.Background(), "", "A", false, anna)
	r.must(err)
	if c.State != issuance.ChangeUnknown {
		t.Errorf("it is %s", c.State)
	}
	sent := r.d1.sent
	r.mustRun()
	if r.d1.sent != sent {
		t.Error("it was sent before D1 was asked")
	}
	_, err = r.store.ReleaseChange(context.Background(), "", "A", false, anna)
	if !errors.Is(err, issuance.ErrOutOfState) {
		t.Errorf("released twice: %v", err)
	}
}

func TestReleasedChangeIsSentAgain(t *testing.T) {
	r := heldChange(t)
	_, err := r.store.ReleaseChange(context.Background(), bank, "A", true, anna)
	r.must(err)
	r.mustRun()
	r.notifyAll()
	r.mustRun()
	r.notifyAll()
	r.want("A", issuance.ChangeDone, issuance.ChangeDone)
	if got := fmt.Sprint(r.d1.production("A").log); got != "[REDIRECT 2 New Street SUCCESSFUL REDIRECT 3 Newer Street SUCCESSFUL]" {
		t.Error(got)
	}
	events, err := r.store.ChangeEvents(context.Background(), r.changes("A")[0].Ref)
	r.must(err)
	said := false
	for _, e := range events {
		said = said || e.Operator == "anna" && e.Reason == anna.Reason
	}
	if !said {
		t.Errorf("the history does not tell who: %v", events)
	}
}

// A withdrawn change lets the next one have its turn, and its batch settle.
func TestWithdrawnChange(t *testing.T) {
	r := heldChange(t)
	c, err := r.store.WithdrawChange(context.Background(), "", "A", anna)
	r.must(err)
	if c.Code != issuance.Withdrawn {
		t.Errorf("its code is %s", c.Code)
	}
	r.mustRun()
	r.notifyAll()
	r.want("A", issuance.ChangeRefused, issuance.ChangeDone)
	_, _, err = r.store.AdvanceBatches(context.Background())
	r.must(err)
	batches, err := r.store.Batches(context.Background(), issuance.BatchFilter{})
	r.must(err)
	for _, b := range batches {
		if b.Kind == issuance.BatchChanges && b.State != issuance.BatchClosed && b.State != issuance.BatchSettled {
			t.Errorf("%s is %s", b.FileName, b.State)
		}
	}
	if _, err = r.store.WithdrawChange(context.Background(), "", "A", anna); !errors.Is(err, issuance.ErrOutOfState) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if _, err = r.store.WithdrawChange(context.Background(), "", "no-such", anna); !errors.Is(err, issuance.ErrNotFound) {
		t.Errorf("of no order: %v", err)
	}
}

// A change that D1 has taken and says nothing of: its request is erased, so it
// can only be asked about, or given up.
func TestReleasedChangeThatD1HasTaken(t *testing.T) {
	r := newRig(t)
	r.give("SLOW", "A")
	r.submit()
	r.ask(request{kind: issuance.Redirect, order: "A", street: "2 New Street"})
	r.mustRun()
	r.d1.unlisted = true
	for range 60 {
		r.wait(3 * time.Hour)
		r.mustRun()
	}
	r.want("A", issuance.ChangeHeld)
	if _, err := r.store.ReleaseChange(context.Background(), "", "A", true, anna); !errors.Is(err, issuance.ErrOutOfState) {
		t.Errorf("sent again without its request: %v", err)
	}
	c, err := r.store.ReleaseChange(context.Background(), "", "A", false, anna)
	r.must(err)
	if c.State != issuance.ChangeSubmitted {
		t.Errorf("it is %s", c.State)
	}
	r.d1.unlisted = false
	r.mustRun()
	r.want("A", issuance.ChangeDone)
}

// hold makes order A held: after attempts in vain, or before the first.
func hold(t *testing.T, sent bool) *rig {
	t.Helper()
	r := newRig(t)
	r.give("SLOW", "A")
	ctx := context.Background()
	claims, err := r.store.ClaimReady(ctx, bank, r.session, 1)
	r.must(err)
	if !sent {
		r.must(r.store.RecordOutcomes(ctx, r.session, []issuance.Outcome{{Ref: claims[0].Ref, Attempt: 1, To: issuance.Held, Code: issuance.PayloadLost}}))
		return r
	}
	r.must(r.store.RecordOutcomes(ctx, r.session, []issuance.Outcome{{Ref: claims[0].Ref, Attempt: 1, To: issuance.Unknown}}))
	r.must(r.store.DecideUnknown(ctx, []issuance.Outcome{{Ref: claims[0].Ref, Attempt: 1, To: issuance.Held, Code: issuance.OutcomeUnclear}}))
	return r
}

func TestHeldOrders(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name      string
		sent      bool
		sure      bool
		released  issuance.State
		cancelled bool
	}{
		{"never sent", false, false, issuance.Ready, true},
		{"perhaps at D1", true, false, issuance.Unknown, false},
		{"surely not at D1", true, true, issuance.Ready, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := hold(t, c.sent)
			o, err := r.store.ReleaseOrder(ctx, "", "A", c.sure, anna)
			r.must(err)
			if o.State != c.released || r.order("A").State != c.released {
				t.Errorf("released it is %s", o.State)
			}
			if _, err = r.store.ReleaseOrder(ctx, "", "A", true, anna); !errors.Is(err, issuance.ErrOutOfState) {
				t.Errorf("released twice: %v", err)
			}
			claims, err := r.store.ClaimReady(ctx, bank, r.session, 9)
			r.must(err)
			if (len(claims) == 1) != (c.released == issuance.Ready) {
				t.Errorf("%d claims", len(claims))
			}
			r.must(r.store.Balance(ctx))

			r = hold(t, c.sent)
			_, err = r.store.CancelOrder(ctx, "", "A", c.sure, anna)
			if c.cancelled != (err == nil) || err != nil && !errors.Is(err, issuance.ErrOutOfState) {
				t.Errorf("cancelled: %v", err)
			}
			if c.cancelled != (r.order("A").State == issuance.Cancelled) {
				t.Errorf("it is %s", r.order("A").State)
			}
			r.must(r.store.Balance(ctx))
		})
	}
}

// One that D1 has is not ours to cancel.
func TestCancelWhatD1Has(t *testing.T) {
	r := newRig(t)
	r.give("SLOW", "A")
	r.submit()
	for _, sure := range []bool{false, true} {
		if _, err := r.store.CancelOrder(context.Background(), "", "A", sure, anna); !errors.Is(err, issuance.ErrOutOfState) {
			t.Errorf("it is cancelled: %v", err)
		}
		if _, err := r.store.ReleaseOrder(context.Background(), "", "A", sure, anna); !errors.Is(err, issuance.ErrOutOfState) {
			t.Errorf("it is released: %v", err)
		}
	}
}

// Of an order that may be at D1 nobody can say that it was cancelled in time:
// the change waits for a person, and then for D1's answer.
func TestChangeOfAnOrderHeldInDoubt(t *testing.T) {
	r := hold(t, true)
	r.d1.orders["card-A"] = &production{id: "A"} // D1 had it all along
	r.ask(request{kind: issuance.Cancel, order: "A"})
	r.mustRun()
	r.want("A", issuance.ChangeWaiting)
	if got := r.order("A").State; got != issuance.Held {
		t.Fatalf("the order is %s", got)
	}
	_, err := r.store.ReleaseOrder(context.Background(), "", "A", false, anna)
	r.must(err)
	r.notifyAll()
	r.mustRun()
	r.notifyAll()
	r.want("A", issuance.ChangeDone)
	if !r.d1.production("A").canceled {
		t.Error("D1 makes the card")
	}
}

// D1 answers no questions, but takes changes: a cancel must not wait for that.
func TestQuestionsInVainHoldUpNothing(t *testing.T) {
	r := newRig(t)
	keys := []string{"A", "B", "C", "D", "E"}
	r.give("SLOW", keys...)
	r.submit()
	lost := &retry.Error{Class: retry.Unknown, Code: retry.CodeTransport}
	r.d1.fault = func(int) fault { return fault{before: lost} }
	r.ask(request{kind: issuance.Redirect, order: "A", street: "2"}, request{kind: issuance.Redirect, order: "B", street: "2"},
		request{kind: issuance.Redirect, order: "C", street: "2"}, request{kind: issuance.Redirect, order: "D", street: "2"})
	r.mustRun()
	r.d1.fault, r.d1.deaf = nil, &retry.Error{Class: retry.Unknown, Status: 503, Unavailable: true}
	r.ask(request{kind: issuance.Cancel, order: "E"})
	r.wait(time.Hour)
	if _, err := r.run(); !errors.Is(err, change.ErrUnavailable) {
		t.Errorf("nobody is told that D1 answers no questions: %v", err)
	}
	r.want("E", issuance.ChangeSubmitted)
}
