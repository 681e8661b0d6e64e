package storetest

import (
	"time"

	"cardbatch/internal/issuance"
)

func ledgerTests() map[string]func(*world) {
	return map[string]func(*world){
		"a due time has one run":              oneRun,
		"a job does not overlap itself":       noOverlap,
		"a lost run may be run again":         lostRunAgain,
		"runs are listed":                     runsListed,
		"a file is planned and delivered":     delivered,
		"a planned file takes another name":   renamed,
		"a delivered file covers more events": covered,
	}
}

func dueRun(wall string) issuance.Run {
	due, err := time.Parse("2006-01-02T15:04", wall)
	if err != nil {
		panic(err)
	}
	return issuance.Run{Job: "submit", Stage: "submit", Due: due, DueWall: wall, BusinessDate: wall[:10], Trigger: issuance.TriggerSchedule}
}

func oneRun(w *world) {
	r, err := w.s.StartRun(w.ctx(), dueRun("2026-03-01T22:00"))
	w.must(err)
	if r.ID == 0 || r.Session != w.session || !r.StartedAt.Equal(w.clock.now()) {
		w.Errorf("the run is %+v", r)
	}
	w.must(w.s.FinishRun(w.ctx(), r.ID, issuance.RunDone, `{"orders":1}`))
	w.wantErr(w.s.FinishRun(w.ctx(), r.ID, issuance.RunFailed, ""), issuance.ErrOutOfState)
	_, err = w.s.StartRun(w.ctx(), dueRun("2026-03-01T22:00"))
	w.wantErr(err, issuance.ErrRunExists)
	r, err = w.s.StartRun(w.ctx(), dueRun("2026-03-01T23:00"))
	w.must(err)
	w.must(w.s.FinishRun(w.ctx(), r.ID, issuance.RunSkipped, ""))
	for range 2 {
		r, err := w.s.StartRun(w.ctx(), issuance.Run{Job: "submit", Stage: "submit", Due: w.clock.now(), Trigger: issuance.TriggerManual})
		w.must(err)
		w.must(w.s.FinishRun(w.ctx(), r.ID, issuance.RunRejects, ""))
	}
	last, found, err := w.s.LastDue(w.ctx(), "submit")
	w.must(err)
	if !found || last.DueWall != "2026-03-01T23:00" {
		w.Errorf("the last due time is %q", last.DueWall)
	}
	_, found, err = w.s.LastDue(w.ctx(), "track")
	w.must(err)
	w.equal(found, false)
}

func noOverlap(w *world) {
	r, err := w.s.StartRun(w.ctx(), dueRun("2026-03-01T22:00"))
	w.must(err)
	other, _ := w.open()
	_, err = other.StartRun(w.ctx(), dueRun("2026-03-01T23:00"))
	w.wantErr(err, issuance.ErrRunning)
	_, err = w.s.StartRun(w.ctx(), dueRun("2026-03-01T23:00"))
	w.wantErr(err, issuance.ErrRunning)
	track := dueRun("2026-03-01T23:00")
	track.Job = "track"
	_, err = other.StartRun(w.ctx(), track)
	w.must(err)
	w.must(w.s.FinishRun(w.ctx(), r.ID, issuance.RunDone, ""))
	_, err = other.StartRun(w.ctx(), dueRun("2026-03-01T23:00"))
	w.must(err)
}

func lostRunAgain(w *world) {
	_, err := w.s.StartRun(w.ctx(), dueRun("2026-03-01T22:00"))
	w.must(err)
	w.restart()
	_, found, err := w.s.LastDue(w.ctx(), "submit")
	w.must(err)
	w.equal(found, true)
	again, err := w.s.StartRun(w.ctx(), dueRun("2026-03-01T22:00"))
	w.must(err)
	_, err = w.s.RecoverSessions(w.ctx(), 0)
	w.must(err)
	runs, err := w.s.Runs(w.ctx(), issuance.RunFilter{Job: "submit"})
	w.must(err)
	if len(runs) != 2 || runs[0].ID != again.ID || runs[0].Outcome != "" || runs[1].Outcome != issuance.RunLost {
		w.Errorf("runs are %+v", runs)
	}
	w.restart()
	_, err = w.s.RecoverSessions(w.ctx(), 0)
	w.must(err)
	_, found, err = w.s.LastDue(w.ctx(), "submit")
	w.must(err)
	w.equal(found, false)
}

func runsListed(w *world) {
	a, err := w.s.StartRun(w.ctx(), dueRun("2026-03-01T22:00"))
	w.must(err)
	w.clock.advance(time.Minute)
	w.must(w.s.FinishRun(w.ctx(), a.ID, issuance.RunFailed, `{"error":"x"}`))
	b, err := w.s.StartRun(w.ctx(), dueRun("2026-03-02T22:00"))
	w.must(err)
	a.EndedAt, a.Outcome, a.Summary = w.clock.now(), issuance.RunFailed, `{"error":"x"}`
	for _, tc := range []struct {
		f    issuance.RunFilter
		want []issuance.Run
	}{
		{issuance.RunFilter{}, []issuance.Run{b, a}},
		{issuance.RunFilter{Limit: 1}, []issuance.Run{b}},
		{issuance.RunFilter{Open: true}, []issuance.Run{b}},
		{issuance.RunFilter{BusinessDate: "2026-03-01", Job: "submit"}, []issuance.Run{a}},
		{issuance.RunFilter{Job: "track"}, nil},
	} {
		got, err := w.s.Runs(w.ctx(), tc.f)
		w.must(err)
		w.equal(got, tc.want)
	}
}

func delivered(w *world) {
	d := issuance.Delivery{Kind: issuance.DeliverReceipt, IssuerID: bank, Source: source, Batch: 3, BusinessDate: "2026-03-01", Revision: 1,
		Destination: "reports", Name: "a.receipt.csv", AfterEvent: 4, UpToEvent: 9}
	planned, err := w.s.PlanDelivery(w.ctx(), d)
	w.must(err)
	_, err = w.s.PlanDelivery(w.ctx(), d)
	w.wantErr(err, issuance.ErrNameTaken)
	d.Destination = "elsewhere"
	other, err := w.s.PlanDelivery(w.ctx(), d)
	w.must(err)
	pending, err := w.s.PendingDeliveries(w.ctx())
	w.must(err)
	w.equal(pending, []issuance.Delivery{planned, other})
	w.clock.advance(time.Minute)
	w.must(w.s.MarkDelivered(w.ctx(), planned.ID, 10, 1000, "sum"))
	w.wantErr(w.s.MarkDelivered(w.ctx(), 99, 1, 1, ""), issuance.ErrNotFound)
	planned.DeliveredAt, planned.Rows, planned.Size, planned.SHA256 = w.clock.now(), 10, 1000, "sum"
	all, err := w.s.Deliveries(w.ctx(), issuance.DeliveryFilter{Kind: issuance.DeliverReceipt, Batch: 3, IssuerID: bank, BusinessDate: "2026-03-01"})
	w.must(err)
	w.equal(all, []issuance.Delivery{planned, other})
	pending, err = w.s.PendingDeliveries(w.ctx())
	w.must(err)
	w.equal(pending, []issuance.Delivery{other})
	last, found, err := w.s.LastDelivery(w.ctx(), issuance.DeliverReceipt, bank, 3)
	w.must(err)
	w.equal(found, true)
	w.equal(last, other)
	_, found, err = w.s.LastDelivery(w.ctx(), issuance.DeliverStatus, bank, 0)
	w.must(err)
	w.equal(found, false)
}
