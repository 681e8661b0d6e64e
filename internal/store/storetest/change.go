package storetest

import (
	"fmt"
	"slices"
	"time"

	"cardbatch/internal/issuance"
)

func changeTests() map[string]func(*world) {
	return map[string]func(*world){
		"a file of changes is added, counted and refused like one of orders": changesAreAdded,
		"a repeat of the last change is a duplicate":                         changeRepeats,
		"a ready order is changed here":                                      changeReady,
		"a claim and a cancel race, and one of them wins":                    changeRaces,
		"a change waits for its order, and for as long as agreed":            changeWaits,
		"a submitted order is changed at D1":                                 changeSent,
		"an order at its end is too late":                                    changeTooLate,
		"changes of one order go one after the other":                        changesInTurn,
		"what a dead session was sending is unknown":                         changeOfDeadSession,
		"changes nobody was told of are forsaken":                            forsakenChanges,
		"outcomes count for their attempt":                                   changeOutcomes,
		"news of a change in any order":                                      changeNews,
		"news before the answer":                                             changeNewsFirst,
		"news by the card alone":                                             changeNewsByCard,
		"news of somebody else's change":                                     changeNewsOfOthers,
		"D1's cancellation is the outcome of a cancel":                       changeByProduction,
		"an order that D1 has after all is changed there":                    changeReopens,
		"an erased change of an order that D1 has after all needs a person":  changeErased,
		"a closed batch opens for late news":                                 changeOfClosedBatch,
		"changes that wait for a held file's order":                          changeOfHeldFile,
	}
}

// changeFile makes an accepted batch of changes: pairs of type and key.
func (w *world) changeFile(pairs ...string) issuance.Batch {
	w.Helper()
	b := w.claimChanges()
	w.addChanges(b, pairs...)
	w.decide(b, issuance.BatchAccepted, int64(len(pairs)/2))
	return b
}

func (w *world) claimChanges() issuance.Batch {
	w.Helper()
	w.files++
	b, err := w.s.ClaimFile(w.ctx(), issuance.Batch{Kind: issuance.BatchChanges, Source: source + "-changes", IssuerID: bank,
		FileName: fmt.Sprintf("changes-%d.csv", w.files)})
	w.must(err)
	return b
}

func (w *world) addChanges(b issuance.Batch, pairs ...string) []issuance.NewChange {
	w.Helper()
	var rows []issuance.NewChange
	for pair := range slices.Chunk(pairs, 2) {
		row, kind, key := int64(len(rows)+1), pair[0], pair[1]
		rows = append(rows, issuance.NewChange{Change: issuance.Change{Ref: issuance.NewRef(b.No, row), Line: row + 1, IssuerID: bank,
			OrderID: "order-" + key, Type: issuance.ChangeType(kind), ContentMAC: []byte(kind + key), State: issuance.ChangeWaiting},
			Payload: []byte("sealed " + kind)})
	}
	w.must(w.s.AddChanges(w.ctx(), b.No, rows))
	return rows
}

// claimed claims all changes whose turn it is.
func (w *world) changeClaims() []issuance.ChangeClaim {
	w.Helper()
	claims, _, err := w.s.ClaimChanges(w.ctx(), bank, w.session, time.Hour, 0, 100)
	w.must(err)
	return claims
}

// onlyClaim claims the one change whose turn it is.
func (w *world) changeClaim(step issuance.ChangeStep) issuance.ChangeClaim {
	w.Helper()
	claims := w.changeClaims()
	if len(claims) != 1 || claims[0].Step != step {
		w.Fatalf("%d changes claimed: %+v", len(claims), claims)
	}
	return claims[0]
}

func (w *world) apply(claims ...issuance.ChangeClaim) int {
	w.Helper()
	var local []issuance.LocalChange
	for _, c := range claims {
		l := issuance.LocalChange{Ref: c.Ref}
		if c.Type != issuance.Cancel {
			l.Payload = []byte("amended by " + string(c.Type))
		}
		if c.Type.Accelerates() {
			l.Priority = "URGENT"
		}
		local = append(local, l)
	}
	n, err := w.s.ApplyChanges(w.ctx(), w.session, local)
	w.must(err)
	return n
}

func (w *world) recordChange(c issuance.ChangeClaim, to issuance.ChangeState, operationID string) {
	w.Helper()
	w.must(w.s.RecordChanges(w.ctx(), w.session, []issuance.ChangeOutcome{{Ref: c.Ref, Attempt: c.Attempts, To: to, OperationID: operationID,
		NextAttemptAt: w.clock.now().Add(time.Minute)}}))
}

// changesOf returns the states of the changes of an order, oldest first.
func (w *world) changesOf(key string) []issuance.ChangeState {
	w.Helper()
	var states []issuance.ChangeState
	found, err := w.s.ChangesOfOrder(w.ctx(), bank, "order-"+key)
	w.must(err)
	for _, c := range found {
		states = append(states, c.State)
	}
	return states
}

func (w *world) wantChanges(key string, want ...issuance.ChangeState) {
	w.Helper()
	w.equal(w.changesOf(key), want)
}

func update(key, operationID, status string, at time.Time) issuance.Operation {
	op := issuance.Operation{OperationID: operationID, Operation: issuance.OperationUpdateOrder, Status: status, CardID: "card-" + key,
		IssuerRequestID: "order-" + key, StartTime: at, EndTime: at, Production: issuance.CardProdReady}
	if status == issuance.OperationFailed {
		op.ErrorCode = "STAGE_TOO_LATE"
	}
	return op
}

func forsakenChanges(w *world) {
	w.submitted("a")
	w.changeFile("CANCEL", "a")
	w.changeClaim(issuance.StepSend)
	for _, want := range []int{1, 0} {
		n, err := w.s.ForsakeChanges(w.ctx(), bank, w.session, time.Minute)
		w.must(err)
		w.equal(n, want)
	}
	w.wantChanges("a", issuance.ChangeUnknown)
	w.balance()
}

func changesAreAdded(w *world) {
	b := w.claimChanges()
	rows := w.addChanges(b, "CANCEL", "a", "REDIRECT", "b")
	bad := issuance.NewChange{Change: issuance.Change{Ref: issuance.NewRef(b.No, 3), Line: 4, IssuerID: bank, State: issuance.ChangeRejected, Code: issuance.FormatInvalid},
		Errors: []issuance.RowError{{Ref: issuance.NewRef(b.No, 3), Line: 4, Column: "change", Code: issuance.FormatInvalid, Text: "wrong"}}}
	w.must(w.s.AddChanges(w.ctx(), b.No, []issuance.NewChange{bad}))
	w.wantErr(w.s.AddOrders(w.ctx(), b.No, []issuance.NewOrder{row(b.No, 9, "x")}), issuance.ErrOutOfState)
	w.must(w.s.ResetBatch(w.ctx(), b.No))
	w.equal(len(collect(w, w.s.ChangesOfBatch(w.ctx(), b.No))), 0)
	w.must(w.s.AddChanges(w.ctx(), b.No, append(rows, bad)))
	w.decide(b, issuance.BatchAccepted, 3)
	totals, err := w.s.ChangeTotals(w.ctx(), b.No)
	w.must(err)
	w.equal([]int64{totals.Rows, totals.State(issuance.ChangeWaiting), totals.State(issuance.ChangeRejected), totals.Open()}, []int64{3, 2, 1, 2})
	w.equal(totals.Balanced(), true)
	w.equal(len(collect(w, w.s.RowErrors(w.ctx(), b.No))), 1)
	w.balance()

	refused := w.claimChanges()
	w.addChanges(refused, "CANCEL", "c")
	w.decide(refused, issuance.BatchRefused, 1)
	w.wantChanges("c")
	w.balance()
	orders := w.claimFile()
	w.wantErr(w.s.AddChanges(w.ctx(), orders.No, nil), issuance.ErrOutOfState)
}

func changeRepeats(w *world) {
	w.accepted("a")
	w.changeFile("REDIRECT", "a")
	b := w.claimChanges()
	again := w.addChanges(b, "REDIRECT", "a", "CANCEL", "a", "REDIRECT", "a")
	w.decide(b, issuance.BatchAccepted, 3)
	w.equal([]issuance.ChangeState{again[0].State, again[1].State, again[2].State},
		[]issuance.ChangeState{issuance.ChangeDuplicate, issuance.ChangeWaiting, issuance.ChangeWaiting})
	w.equal(again[0].Code, issuance.ChangeRepeated)
	w.balance()
}

func changeReady(w *world) {
	w.accepted("a", "b", "c")
	b := w.changeFile("CANCEL", "a", "REDIRECT", "b", "ACCELERATE_AND_REDIRECT", "c")
	claims := w.changeClaims()
	w.equal(len(claims), 3)
	w.equal(string(claims[1].OrderPayload), "sealed b")
	w.equal(w.apply(claims...), 3)
	w.equal(w.apply(claims...), 0) // another process was as fast
	w.wantState("a", issuance.Cancelled)
	w.equal(w.order("a").Reason, fmt.Sprintf("CANCEL in %s line 2", b.FileName))
	w.wantChanges("a", issuance.ChangeApplied)
	w.wantChanges("c", issuance.ChangeApplied)
	sent := w.claim(10)
	w.equal(orderIDs(sent), []string{"order-c", "order-b"}) // accelerated
	w.equal(string(sent[0].Payload), "amended by ACCELERATE_AND_REDIRECT")
	w.equal(string(sent[1].Payload), "amended by REDIRECT")
	w.equal(w.order("c").Priority, "URGENT")
	_, _, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(w.batch(b).State, issuance.BatchClosed)
	w.balance()
}

func changeRaces(w *world) {
	w.accepted("a", "b")
	w.changeFile("CANCEL", "a", "REDIRECT", "b")
	claims := w.changeClaims()
	sent := w.claim(10) // faster
	w.equal(w.apply(claims...), 0)
	w.wantChanges("a", issuance.ChangeWaiting)
	w.equal(len(w.changeClaims()), 0) // on its way
	for _, c := range sent {
		w.equal(string(c.Payload), "sealed "+c.OrderID[len("order-"):])
		w.record(outcome(c, issuance.Submitted))
	}
	w.equal(len(w.changeClaims()), 2)
	w.wantChanges("a", issuance.ChangeSubmitting)
	w.balance()
}

func changeWaits(w *world) {
	b := w.changeFile("CANCEL", "a", "CANCEL", "b")
	w.equal(len(w.changeClaims()), 0)
	w.accepted("a")
	w.changeClaim(issuance.StepApply)
	w.clock.advance(59 * time.Minute)
	w.equal(len(w.changeClaims()), 1)
	w.wantChanges("b", issuance.ChangeWaiting)
	w.clock.advance(2 * time.Minute)
	w.equal(w.apply(w.changeClaims()...), 1)
	w.wantChanges("a", issuance.ChangeApplied)
	w.wantChanges("b", issuance.ChangeUnmatched)
	_, _, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(w.batch(b).State, issuance.BatchClosed)
	w.changeFile("CANCEL", "b") // came to nothing, so it may be asked again
	w.wantChanges("b", issuance.ChangeUnmatched, issuance.ChangeWaiting)
	w.balance()
}

func changeSent(w *world) {
	w.submitted("a")
	b := w.changeFile("REDIRECT", "a")
	c := w.changeClaim(issuance.StepSend)
	w.equal([]any{c.CardID, c.Attempts, string(c.Payload), c.CorrelationID != ""}, []any{"card-a", 1, "sealed REDIRECT", true})
	w.recordChange(c, issuance.ChangeSubmitted, "up-1")
	w.wantChanges("a", issuance.ChangeSubmitted)
	_, _, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(w.batch(b).State, issuance.BatchSettled)
	w.equal(w.notify("n1", update("a", "up-1", issuance.OperationSuccessful, w.clock.now())), issuance.Applied{Matched: 1, Changed: 1})
	w.wantChanges("a", issuance.ChangeDone)
	_, _, err = w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(w.batch(b).State, issuance.BatchClosed)
	w.balance()
}

func changeTooLate(w *world) {
	w.submitted("a", "b")
	w.notify("n", produce("a", issuance.CardShipped, w.clock.now()))
	w.changeFile("CANCEL", "a", "REDIRECT", "b")
	c := w.changeClaim(issuance.StepSend)
	w.wantChanges("a", issuance.ChangeTooLate)
	w.recordChange(c, issuance.ChangeSubmitted, "up-1")
	w.notify("n2", update("b", "up-1", issuance.OperationFailed, w.clock.now()))
	w.wantChanges("b", issuance.ChangeTooLate)
	w.balance()
}

func changesInTurn(w *world) {
	w.submitted("a")
	w.changeFile("REDIRECT", "a", "ACCELERATE", "a", "CANCEL", "a")
	first := w.changeClaim(issuance.StepSend)
	w.equal(first.Type, issuance.Redirect)
	for _, to := range []issuance.ChangeState{issuance.ChangeUnknown, issuance.ChangeSubmitted} {
		w.recordChange(first, to, "")
		w.equal(len(w.changeClaims()), 0)
	}
	w.notify("n1", update("a", "up-1", issuance.OperationFailed, w.clock.now()))
	w.equal(w.changeClaim(issuance.StepSend).Type, issuance.Accelerate)
	w.notify("n2", update("a", "up-2", issuance.OperationSuccessful, w.clock.now()))
	cancel := w.changeClaim(issuance.StepSend)
	w.notify("n3", update("a", "up-3", issuance.OperationSuccessful, w.clock.now()))
	w.recordChange(cancel, issuance.ChangeSubmitted, "up-3")
	w.wantChanges("a", issuance.ChangeTooLate, issuance.ChangeDone, issuance.ChangeDone)
	w.changeFile("REDIRECT", "a")
	w.equal(len(w.changeClaims()), 0) // D1 has cancelled it, and production has not said so yet
	w.wantChanges("a", issuance.ChangeTooLate, issuance.ChangeDone, issuance.ChangeDone, issuance.ChangeTooLate)
	w.balance()
}

func changeOfDeadSession(w *world) {
	w.submitted("a")
	w.changeFile("CANCEL", "a")
	old := w.changeClaim(issuance.StepSend)
	dead := w.session
	w.restart()
	_, err := w.s.RecoverSessions(w.ctx(), time.Minute)
	w.must(err)
	w.wantChanges("a", issuance.ChangeUnknown)
	w.equal(len(w.changeClaims()), 0)
	due, err := w.s.DueChanges(w.ctx(), bank, 10)
	w.must(err)
	w.equal(len(due), 0) // it rests first
	w.clock.advance(time.Minute)
	due, err = w.s.DueChanges(w.ctx(), bank, 10)
	w.must(err)
	w.equal(len(due), 1)
	w.must(w.s.RecordChanges(w.ctx(), dead, []issuance.ChangeOutcome{{Ref: old.Ref, Attempt: 1, To: issuance.ChangeSubmitted, OperationID: "up-1"}}))
	w.wantChanges("a", issuance.ChangeSubmitted) // evidence is believed from whomever it comes
	w.balance()
}

func changeOutcomes(w *world) {
	w.submitted("a")
	w.changeFile("CANCEL", "a")
	c := w.changeClaim(issuance.StepSend)
	w.recordChange(c, issuance.ChangeWaiting, "")
	w.equal(len(w.changeClaims()), 0) // not before its time
	w.clock.advance(time.Hour)
	again := w.changeClaim(issuance.StepSend)
	w.equal(again.Attempts, 1) // the first was not delivered
	w.recordChange(again, issuance.ChangeUnknown, "")
	stale := again
	stale.Attempts = 7
	w.recordChange(stale, issuance.ChangeRefused, "")
	w.wantChanges("a", issuance.ChangeUnknown)
	w.recordChange(again, issuance.ChangeUnknown, "") // asked
	found, err := w.s.ChangesOfOrder(w.ctx(), bank, "order-a")
	w.must(err)
	w.equal(found[0].Asks, 1)
	w.recordChange(again, issuance.ChangeWaiting, "")
	w.clock.advance(time.Hour)
	w.equal(w.changeClaim(issuance.StepSend).Attempts, 2)
	w.balance()
}

func changeNews(w *world) {
	w.submitted("a", "b")
	w.changeFile("REDIRECT", "a", "REDIRECT", "b")
	for _, c := range w.changeClaims() {
		w.recordChange(c, issuance.ChangeSubmitted, "up-"+c.OrderID[len("order-"):])
	}
	at := w.clock.now()
	pending, done := update("a", "up-a", issuance.OperationPending, at), update("a", "up-a", issuance.OperationSuccessful, at)
	w.notify("n1", done, pending, done)
	w.notify("n2", pending)
	w.wantChanges("a", issuance.ChangeDone)
	w.notify("n3", update("b", "up-b", issuance.OperationPending, at), update("b", "up-b", issuance.OperationFailed, at))
	w.wantChanges("b", issuance.ChangeTooLate)
	w.balance()
}

func changeNewsFirst(w *world) {
	w.submitted("a", "b")
	w.changeFile("CANCEL", "a", "CANCEL", "b")
	claims := w.changeClaims()
	w.notify("n1", update("a", "up-1", issuance.OperationSuccessful, w.clock.now()))
	w.wantChanges("a", issuance.ChangeDone)
	w.recordChange(claims[0], issuance.ChangeSubmitted, "up-1")
	w.wantChanges("a", issuance.ChangeDone)
	w.recordChange(claims[1], issuance.ChangeUnknown, "") // the answer was lost
	w.notify("n2", update("b", "up-2", issuance.OperationFailed, w.clock.now()))
	w.wantChanges("b", issuance.ChangeTooLate)
	w.balance()
}

func changeNewsByCard(w *world) {
	w.submitted("a")
	w.changeFile("CANCEL", "a")
	c := w.changeClaim(issuance.StepSend)
	op := update("a", "up-1", issuance.OperationSuccessful, w.clock.now())
	op.IssuerRequestID, op.CardID = "", ""
	w.equal(w.notify("n1", op).Unmatched, 1) // nobody can say whose it is
	w.recordChange(c, issuance.ChangeSubmitted, "up-1")
	w.wantChanges("a", issuance.ChangeDone) // until the answer names it
	w.submitted("b")
	w.changeFile("CANCEL", "b")
	w.changeClaim(issuance.StepSend)
	op = update("b", "", issuance.OperationSuccessful, w.clock.now())
	op.IssuerRequestID = ""
	w.equal(w.notify("n2", op).Matched, 1)
	w.wantChanges("b", issuance.ChangeDone)
	n, err := w.s.ParkedCount(w.ctx(), bank)
	w.must(err)
	w.equal(n, int64(0))
	w.balance()
}

func changeNewsOfOthers(w *world) {
	w.submitted("a")
	w.changeFile("CANCEL", "a")
	c := w.changeClaim(issuance.StepSend)
	w.equal(w.notify("n1", update("a", "portal", issuance.OperationFailed, w.clock.now().Add(-time.Hour))).Unmatched, 1)
	w.recordChange(c, issuance.ChangeSubmitted, "up-1")
	w.equal(w.notify("n2", update("a", "other", issuance.OperationFailed, w.clock.now())).Unmatched, 1)
	w.wantChanges("a", issuance.ChangeSubmitted)
	w.balance()
}

func changeByProduction(w *world) {
	w.submitted("a")
	w.changeFile("CANCEL", "a")
	w.recordChange(w.changeClaim(issuance.StepSend), issuance.ChangeUnknown, "")
	canceled := produce("a", issuance.CardProdCanceled, w.clock.now())
	canceled.Status = issuance.OperationFailed
	w.notify("n1", canceled)
	w.wantChanges("a", issuance.ChangeDone)
	w.balance()
}

func changeReopens(w *world) {
	w.accepted("a", "b")
	for _, c := range w.claim(2) {
		w.record(outcome(c, issuance.Unknown))
		w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Ready}}))
	}
	b := w.changeFile("CANCEL", "a", "REDIRECT", "b")
	w.equal(w.apply(w.changeClaims()...), 2)
	_, _, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(w.batch(b).State, issuance.BatchClosed)
	w.notify("n1", produce("a", issuance.CardProdReady, w.clock.now())) // it had it all the time
	for _, c := range w.claim(1) {
		w.record(outcome(c, issuance.Submitted)) // with the new address, or D1 kept the first
	}
	w.wantChanges("a", issuance.ChangeWaiting)
	w.wantChanges("b", issuance.ChangeWaiting)
	w.equal(w.batch(b).State, issuance.BatchAccepted)
	w.balance()
	claims := w.changeClaims()
	w.equal(len(claims), 2)
	w.equal(string(claims[0].Payload), "sealed CANCEL")
	w.balance()
}

func changeErased(w *world) {
	w.accepted("a")
	for _, c := range w.claim(1) {
		w.record(outcome(c, issuance.Unknown))
		w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Ready}}))
	}
	w.changeFile("CANCEL", "a")
	w.equal(w.apply(w.changeClaims()...), 1)
	_, _, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	later := w.clock.now().Add(time.Hour)
	n, err := w.s.Erase(w.ctx(), issuance.ErasePayloads, later, 10)
	w.must(err)
	w.equal(n, int64(1))
	n, err = w.s.CountErasable(w.ctx(), issuance.ErasePayloads, later)
	w.must(err)
	w.equal(n, int64(0))
	w.balance()
	w.notify("n1", produce("a", issuance.CardProdReady, w.clock.now()))
	w.wantChanges("a", issuance.ChangeHeld)
	w.balance()
}

func changeOfClosedBatch(w *world) {
	w.submitted("a")
	b := w.changeFile("CANCEL", "a")
	first := w.changeClaim(issuance.StepSend)
	w.recordChange(first, issuance.ChangeUnknown, "")
	w.recordChange(first, issuance.ChangeWaiting, "")
	w.clock.advance(time.Hour)
	second := w.changeClaim(issuance.StepSend)
	w.recordChange(second, issuance.ChangeSubmitted, "up-2")
	w.notify("n1", update("a", "up-2", issuance.OperationFailed, w.clock.now()))
	for range 2 {
		_, _, err := w.s.AdvanceBatches(w.ctx())
		w.must(err)
	}
	w.equal(w.batch(b).State, issuance.BatchClosed)
	w.notify("n2", update("a", "up-1", issuance.OperationSuccessful, w.clock.now())) // the first attempt had been heard
	w.wantChanges("a", issuance.ChangeDone)
	w.equal(w.batch(b).State, issuance.BatchAccepted)
	w.balance()
}

func changeOfHeldFile(w *world) {
	orders := w.claimFile()
	w.add(orders, row(orders.No, 1, "a"))
	w.decide(orders, issuance.BatchHeld, 1)
	held := w.claimChanges()
	w.addChanges(held, "REDIRECT", "a")
	w.decide(held, issuance.BatchHeld, 1)
	w.changeFile("CANCEL", "a")
	w.equal(len(w.changeClaims()), 0) // the order may still be refused with its file
	w.must(w.s.DecideBatch(w.ctx(), w.batch(orders), issuance.BatchAccepted, issuance.Why{Stage: "operator"}))
	w.equal(w.changeClaim(issuance.StepApply).Type, issuance.Cancel) // a file that is held keeps no other
	w.must(w.s.DecideBatch(w.ctx(), w.batch(held), issuance.BatchAccepted, issuance.Why{Stage: "operator"}))
	w.equal(w.changeClaim(issuance.StepApply).Type, issuance.Redirect)
	w.balance()
}
