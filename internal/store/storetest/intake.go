package storetest

import (
	"fmt"
	"time"

	"cardbatch/internal/issuance"
)

func intakeTests() map[string]func(*world) {
	return map[string]func(*world){
		"a file is claimed once":                       fileClaimedOnce,
		"rows are kept as given":                       rowsKept,
		"rows come all or none":                        rowsAllOrNone,
		"nothing is sent before the batch is decided":  nothingBeforeDecision,
		"a decision needs all rows":                    decisionNeedsAllRows,
		"a repeat is a duplicate, a conflict rejected": repeatsAndConflicts,
		"a PAN is ordered once in a file":              samePAN,
		"a card has one open order":                    cardBusy,
		"an interrupted batch is loaded again":         interruptedBatch,
		"a refused batch keeps its row errors only":    refusedBatch,
		"a held batch can be released":                 heldBatch,
		"prior files":                                  priorFiles,
		"originals not yet archived":                   archive,
		"observations count what stays the same":       observations,
		"observations are timed by our clock":          observationTimes,
		"a file set aside lets others go first":        setAside,
		"what was listed may be taken meanwhile":       staleListing,
		"many rows are deleted in chunks":              manyRowsDeleted,
		"news of an order in a held batch is kept":     heldBatchAtD1,
	}
}

func fileClaimedOnce(w *world) {
	b := w.claimFile()
	if b.No == 0 || b.ID == "" || b.Session != w.session {
		w.Errorf("claimed as %+v", b)
	}
	other, _ := w.open()
	_, err := other.ClaimFile(w.ctx(), issuance.Batch{Source: source, IssuerID: bank, FileName: "f"})
	w.wantErr(err, issuance.ErrClaimed)
	_, err = other.ClaimFile(w.ctx(), issuance.Batch{Source: "x", IssuerID: "bank-2", FileName: "f"})
	w.must(err)
	w.decide(b, issuance.BatchRefused, 0)
	_, err = other.ClaimFile(w.ctx(), issuance.Batch{Source: source, IssuerID: bank, FileName: "f"})
	w.must(err)
}

func rowsKept(w *world) {
	b := w.claimFile()
	rows := w.add(b, row(b.No, 1, "a"), rejectedRow(b.No, 2), row(b.No, 3, "c"))
	w.decide(b, issuance.BatchAccepted, 3)
	w.balance()
	var want []issuance.Order
	for _, r := range rows {
		want = append(want, r.Order)
	}
	w.equal(collect(w, w.s.OrdersOfBatch(w.ctx(), b.No)), want)
	w.equal(collect(w, w.s.RowErrors(w.ctx(), b.No)), rows[1].Errors)
	got := w.batch(b)
	if got.State != issuance.BatchAccepted || got.Rows != 3 || got.SHA256 == "" || !got.DecidedAt.Equal(w.clock.now()) || got.Why.Stage != "intake" {
		w.Errorf("the batch is %+v", got)
	}
}

func rowsAllOrNone(w *world) {
	b := w.claimFile()
	bad := row(b.No+1, 2, "b")
	w.wantErr(w.s.AddOrders(w.ctx(), b.No, []issuance.NewOrder{row(b.No, 1, "a"), bad}), issuance.ErrOutOfState)
	submitted := row(b.No, 2, "b")
	submitted.State = issuance.Submitted
	w.wantErr(w.s.AddOrders(w.ctx(), b.No, []issuance.NewOrder{row(b.No, 1, "a"), submitted}), issuance.ErrOutOfState)
	if n := len(collect(w, w.s.OrdersOfBatch(w.ctx(), b.No))); n != 0 {
		w.Errorf("%d rows of failed calls stayed", n)
	}
	w.add(b, row(b.No, 1, "a"))
	if err := w.s.AddOrders(w.ctx(), b.No, []issuance.NewOrder{row(b.No, 1, "z")}); err == nil {
		w.Error("a row was added twice")
	}
	w.decide(b, issuance.BatchAccepted, 1)
	w.wantErr(w.s.AddOrders(w.ctx(), b.No, []issuance.NewOrder{row(b.No, 2, "b")}), issuance.ErrOutOfState)
	w.balance()
}

func samePAN(w *world) {
	b := w.claimFile()
	first, again, other := row(b.No, 1, "a"), row(b.No, 2, "b"), row(b.No, 3, "c")
	first.PANFingerprint, again.PANFingerprint, other.PANFingerprint = []byte{1}, []byte{1}, []byte{2}
	again.SamePAN, other.SamePAN = first.Ref, first.Ref // the second is mistaken
	repeat := row(b.No, 4, "a")
	repeat.PANFingerprint, repeat.SamePAN = []byte{1}, first.Ref
	rows := w.add(b, first, again, other, repeat)
	w.equal([]issuance.State{rows[0].State, rows[1].State, rows[2].State, rows[3].State},
		[]issuance.State{issuance.Ready, issuance.Rejected, issuance.Ready, issuance.Duplicate})
	want := issuance.RowError{Ref: again.Ref, Line: 3, Column: "pan", Code: issuance.PANRepeated,
		Text: "has the same PAN as line 2 of this file, under another order_id", Masked: "411111******1111"}
	w.equal(rows[1].Errors, []issuance.RowError{want})
	w.decide(b, issuance.BatchAccepted, 4)
	w.balance()
}

func cardBusy(w *world) {
	b := w.claimFile()
	first, second := row(b.No, 1, "a"), row(b.No, 2, "b")
	second.CardID = first.CardID
	rows := w.add(b, first, second)
	busy := func(of issuance.NewOrder, where string, line int64) issuance.RowError {
		return issuance.RowError{Ref: of.Ref, Line: of.Line, Column: "card_id", Code: issuance.CardHasOpenOrder,
			Text: fmt.Sprintf("the card's order order-a is not finished; it came in %s line %d", where, line), Masked: "card-a"}
	}
	w.equal(rows[1].Errors, []issuance.RowError{busy(second, "orders-1.csv", 2)})
	w.decide(b, issuance.BatchAccepted, 2)

	// While the order is ready, submitted and in production, and not afterwards.
	try := func(want issuance.State) {
		w.Helper()
		b := w.claimFile()
		again := row(b.No, 1, fmt.Sprintf("again-%d", b.No))
		again.CardID = first.CardID
		rows := w.add(b, again, row(b.No, 2, "a")) // a repeat of the order itself stays one
		w.equal([]issuance.State{rows[0].State, rows[1].State}, []issuance.State{want, issuance.Duplicate})
		w.decide(b, issuance.BatchRefused, 2)
	}
	try(issuance.Rejected)
	for _, c := range w.claim(1) {
		w.record(outcome(c, issuance.Submitted))
	}
	try(issuance.Rejected)
	w.notify("shipped", produce("a", issuance.CardShipped, w.clock.now()))
	try(issuance.Ready)
	w.balance()
}

func nothingBeforeDecision(w *world) {
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"), row(b.No, 2, "b"))
	if got := w.claim(10); len(got) != 0 {
		w.Errorf("claimed %v of a batch that is loading", orderIDs(got))
	}
	w.decide(b, issuance.BatchAccepted, 2)
	if n, err := w.s.ReadyCount(w.ctx(), bank); n != 2 || err != nil {
		w.Errorf("%d ready, %v", n, err)
	}
	w.equal(orderIDs(w.claim(10)), []string{"order-a", "order-b"})
}

func decisionNeedsAllRows(w *world) {
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"))
	b.Rows = 2
	w.wantErr(w.s.DecideBatch(w.ctx(), b, issuance.BatchAccepted, issuance.Why{}), issuance.ErrOutOfState)
	w.wantErr(w.s.DecideBatch(w.ctx(), b, issuance.BatchClosed, issuance.Why{}), issuance.ErrOutOfState)
	w.decide(b, issuance.BatchAccepted, 1)
	w.wantErr(w.s.DecideBatch(w.ctx(), b, issuance.BatchRefused, issuance.Why{}), issuance.ErrOutOfState)
	w.wantState("a", issuance.Ready)
}

func repeatsAndConflicts(w *world) {
	first := w.accepted("a", "b")
	b := w.claimFile()
	conflict := row(b.No, 2, "b")
	conflict.ContentMAC = []byte("other")
	again := row(b.No, 4, "c")
	again.ContentMAC = []byte("other")
	rows := w.add(b, row(b.No, 1, "a"), conflict, row(b.No, 3, "c"), again)
	w.decide(b, issuance.BatchAccepted, 4)
	w.balance()
	for i, want := range []struct {
		state issuance.State
		code  issuance.Code
	}{{issuance.Duplicate, issuance.OrderRepeated}, {issuance.Rejected, issuance.OrderConflict}, {issuance.Ready, ""}, {issuance.Rejected, issuance.OrderConflict}} {
		if rows[i].State != want.state || rows[i].Code != want.code {
			w.Errorf("row %d is %s %s, want %s %s", i+1, rows[i].State, rows[i].Code, want.state, want.code)
		}
	}
	errs := collect(w, w.s.RowErrors(w.ctx(), b.No))
	if len(errs) != 3 || errs[0].Line != 2 || errs[0].Text != "identical repeat of "+first.FileName+" line 2" {
		w.Errorf("row errors are %+v", errs)
	}
	w.equal(sorted(orderIDs(w.claim(10))), []string{"order-a", "order-b", "order-c"})
	all, err := w.s.Order(w.ctx(), "", "order-b")
	w.must(err)
	if len(all) != 2 || all[0].State != issuance.Submitting || all[1].State != issuance.Rejected {
		w.Errorf("order-b is found as %+v", all)
	}
}

func interruptedBatch(w *world) {
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"), rejectedRow(b.No, 2))
	other, _ := w.open()
	if got, err := other.LoadingBatches(w.ctx(), source); err != nil || len(got) != 0 {
		w.Errorf("another process sees a batch that is being loaded: %v %v", got, err)
	}
	w.wantErr(other.Adopt(w.ctx(), b.No), issuance.ErrClaimed)
	w.wantErr(other.ResetBatch(w.ctx(), b.No), issuance.ErrOutOfState)
	w.restart()
	got, err := w.s.LoadingBatches(w.ctx(), source)
	w.must(err)
	if len(got) != 1 || got[0].ID != b.ID {
		w.Fatalf("interrupted batches are %+v", got)
	}
	w.wantErr(w.s.AddOrders(w.ctx(), b.No, []issuance.NewOrder{row(b.No, 3, "c")}), issuance.ErrOutOfState)
	w.must(w.s.Adopt(w.ctx(), b.No))
	w.must(w.s.ResetBatch(w.ctx(), b.No))
	w.must(w.s.ResetBatch(w.ctx(), b.No))
	w.add(b, row(b.No, 1, "a"), rejectedRow(b.No, 2), row(b.No, 3, "c"))
	w.decide(b, issuance.BatchAccepted, 3)
	w.balance()
	w.equal(orderIDs(w.claim(10)), []string{"order-a", "order-c"})
}

func refusedBatch(w *world) {
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"), rejectedRow(b.No, 2))
	b.Rows = 2
	w.must(w.s.DecideBatch(w.ctx(), b, issuance.BatchRefused, issuance.Why{Stage: "intake", Code: issuance.ChecksumMismatch, Reason: "sums differ"}))
	w.balance()
	if n := len(collect(w, w.s.OrdersOfBatch(w.ctx(), b.No))); n != 0 {
		w.Errorf("%d orders stay", n)
	}
	if n := len(collect(w, w.s.RowErrors(w.ctx(), b.No))); n != 2 {
		w.Errorf("%d row errors stay, want 2", n)
	}
	got := w.batch(b)
	if got.State != issuance.BatchRefused || got.Code != issuance.ChecksumMismatch || got.Reason != "sums differ" || got.Why.Code != got.Code {
		w.Errorf("the batch is %+v", got)
	}
	// Its order_ids were never used.
	w.accepted("a")
	w.equal(orderIDs(w.claim(10)), []string{"order-a"})
}

// heldBatchAtD1: D1 reports on an order of a file that waits for a person, so
// it was sent in some way. Whatever is decided about the file, that must not be
// forgotten.
func heldBatchAtD1(w *world) {
	for _, to := range []issuance.BatchState{issuance.BatchAccepted, issuance.BatchRefused} {
		key := string(to)
		b := w.claimFile()
		w.add(b, row(b.No, 1, key))
		w.decide(b, issuance.BatchHeld, 1)
		w.notify(key, produce(key, issuance.CardProdRequested, w.clock.now()))
		w.must(w.s.DecideBatch(w.ctx(), issuance.Batch{No: b.No}, to, issuance.Why{Stage: "operator", Operator: "kim"}))
	}
	w.accepted("refused") // the same order again, in another file
	w.wantState("accepted", issuance.Submitted)
	w.wantState("refused", issuance.Submitted)
	w.equal(len(w.claim(9)), 0)
	w.balance()
}

func heldBatch(w *world) {
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"))
	w.decide(b, issuance.BatchHeld, 1)
	if got := w.claim(10); len(got) != 0 {
		w.Error("an order of a held batch was claimed")
	}
	w.must(w.s.DecideBatch(w.ctx(), issuance.Batch{No: b.No}, issuance.BatchAccepted, issuance.Why{Stage: "operator", Operator: "kim", Reason: "checked"}))
	if got := w.batch(b); got.Rows != 1 || got.Why.Operator != "kim" {
		w.Errorf("the released batch is %+v", got)
	}
	w.equal(orderIDs(w.claim(10)), []string{"order-a"})
	events, err := w.s.BatchEvents(w.ctx(), b.No)
	w.must(err)
	var path []string
	for _, e := range events {
		path = append(path, e.From+">"+e.To)
	}
	w.equal(path, []string{">loading", "loading>held", "held>accepted"})
}

func priorFiles(w *world) {
	refused := w.claimFile()
	refused.Control = &issuance.Control{Sequence: 9}
	refused.SHA256 = "r"
	w.must(w.s.DecideBatch(w.ctx(), refused, issuance.BatchRefused, issuance.Why{}))
	b := w.claimFile()
	b.Control = &issuance.Control{File: b.FileName, Sequence: 7, Products: map[string]int64{"P": 0}, Echo: []byte(`{"a":1}`)}
	b.SHA256 = "sum"
	w.must(w.s.DecideBatch(w.ctx(), b, issuance.BatchAccepted, issuance.Why{}))
	for _, key := range []issuance.PriorKey{{Name: b.FileName}, {SHA256: "sum"}, {Sequence: 7}} {
		got, found, err := w.s.PriorFile(w.ctx(), source, key)
		w.must(err)
		if !found || got.No != b.No {
			w.Errorf("%+v finds %v", key, got.ID)
			continue
		}
		w.equal(got.Control, b.Control)
	}
	for _, key := range []issuance.PriorKey{{Name: refused.FileName}, {SHA256: "r"}, {Sequence: 9}, {Name: "other"}} {
		if _, found, err := w.s.PriorFile(w.ctx(), source, key); found || err != nil {
			w.Errorf("%+v finds a refused file, or none: %v", key, err)
		}
	}
	last, err := w.s.LastSequence(w.ctx(), source)
	w.must(err)
	w.equal(last, int64(7))
	last, err = w.s.LastSequence(w.ctx(), "other")
	w.must(err)
	w.equal(last, int64(0))
}

func archive(w *world) {
	b := w.claimFile()
	if got, err := w.s.UnarchivedBatches(w.ctx(), source); err != nil || len(got) != 0 {
		w.Errorf("a batch that is being loaded would be archived: %v %v", got, err)
	}
	w.decide(b, issuance.BatchAccepted, 0)
	got, err := w.s.UnarchivedBatches(w.ctx(), source)
	w.must(err)
	if len(got) != 1 || got[0].No != b.No {
		w.Fatalf("unarchived are %v", got)
	}
	w.must(w.s.MarkArchived(w.ctx(), b.No, "archive/2026-03-01/x.csv"))
	if got, err := w.s.UnarchivedBatches(w.ctx(), source); err != nil || len(got) != 0 {
		w.Errorf("archived, and still listed: %v %v", got, err)
	}
	w.equal(w.batch(b).Archived, "archive/2026-03-01/x.csv")
}

func observations(w *world) {
	at := w.clock.now()
	a, b := issuance.Observation{Name: "a", Size: 1, ModTime: at}, issuance.Observation{Name: "b", Size: 2, ModTime: at}
	grown, touched := b, a
	grown.Size, touched.ModTime = 3, at.Add(time.Second)
	for i, step := range []struct {
		seen []issuance.Observation
		want map[string]int
	}{
		{[]issuance.Observation{a, b}, map[string]int{"a": 1, "b": 1}},
		{[]issuance.Observation{a, grown}, map[string]int{"a": 2, "b": 1}},
		{[]issuance.Observation{touched, grown}, map[string]int{"a": 1, "b": 2}},
		{[]issuance.Observation{grown}, map[string]int{"b": 3}},
		{[]issuance.Observation{touched}, map[string]int{"a": 1}},
		{nil, map[string]int{}},
	} {
		got, err := w.s.Observe(w.ctx(), source, step.seen)
		w.must(err)
		times := map[string]int{}
		for name, s := range got {
			times[name] = s.Times
		}
		if fmt.Sprint(times) != fmt.Sprint(step.want) {
			w.Errorf("step %d: seen %v times, want %v", i, times, step.want)
		}
	}
	other, err := w.s.Observe(w.ctx(), "other", []issuance.Observation{a})
	w.must(err)
	w.equal(other["a"].Times, 1)
}

// observationTimes are by our own clock, whatever the file's own time is.
func observationTimes(w *world) {
	start := w.clock.now()
	file := issuance.Observation{Name: "a", Size: 1, ModTime: start.Add(-time.Hour)}
	observe := func(o ...issuance.Observation) issuance.Sighting {
		w.clock.advance(time.Minute)
		got, err := w.s.Observe(w.ctx(), source, o)
		w.must(err)
		return got["a"]
	}
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	w.equal(observe(file), issuance.Sighting{Times: 1, Since: minute(1), FirstSeen: minute(1)})
	w.equal(observe(file), issuance.Sighting{Times: 2, Since: minute(1), FirstSeen: minute(1)})
	w.must(w.s.MarkReported(w.ctx(), source, []string{"a", "unknown"}))
	file.Size++
	w.equal(observe(file), issuance.Sighting{Times: 1, Since: minute(3), FirstSeen: minute(1), ReportedAt: minute(2)})
	observe()
	w.equal(observe(file), issuance.Sighting{Times: 1, Since: minute(5), FirstSeen: minute(5)})
}

// setAside: a file that cannot be loaded now does not keep others from being
// loaded, and nothing of it stays behind.
func setAside(w *world) {
	w.clock.advance(time.Minute)
	troubled := w.clock.now()
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"), row(b.No, 2, "b"))
	w.must(w.s.SetAside(w.ctx(), b.No, "it cannot be read"))
	w.balance()
	got := w.batch(b)
	w.equal([]any{got.State, got.SetAside, got.TroubledAt, got.Attempts, got.Reason},
		[]any{issuance.BatchLoading, true, troubled, 1, "it cannot be read"})

	next := w.claimFile()
	w.add(next, row(next.No, 1, "a"))
	w.wantErr(w.s.Adopt(w.ctx(), b.No), issuance.ErrClaimed)
	w.decide(next, issuance.BatchAccepted, 1)
	w.clock.advance(time.Minute)
	w.must(w.s.Adopt(w.ctx(), b.No))
	_, err := w.s.ClaimFile(w.ctx(), issuance.Batch{Source: source, IssuerID: bank, FileName: "f3"})
	w.wantErr(err, issuance.ErrClaimed)
	w.must(w.s.SetAside(w.ctx(), b.No, "again"))
	w.equal(w.batch(b).TroubledAt, troubled)
	loading, err := w.s.LoadingBatches(w.ctx(), "")
	w.must(err)
	if len(loading) != 1 || loading[0].Attempts != 2 {
		w.Errorf("loading are %v", loading)
	}
	w.must(w.s.Adopt(w.ctx(), b.No))
	w.add(b, row(b.No, 1, "a"), row(b.No, 2, "b"))
	w.decide(b, issuance.BatchAccepted, 2)
	w.balance()
}

// staleListing: who lists the drop, waits while another process takes the file
// and finishes with it, and then claims what it saw, is told.
func staleListing(w *world) {
	listed := w.clock.now()
	w.clock.advance(time.Second)
	b := w.claimFile()
	w.decide(b, issuance.BatchRefused, 0)
	claim := func(name string, at time.Time) error {
		_, err := w.s.ClaimFile(w.ctx(), issuance.Batch{Source: source, IssuerID: bank, FileName: name, ReceivedAt: at})
		return err
	}
	w.wantErr(claim(b.FileName, listed), issuance.ErrClaimed)
	w.must(claim(b.FileName, w.clock.now().Add(time.Second)))
}

func manyRowsDeleted(w *world) {
	const n = 10_001
	b := w.claimFile()
	rows := make([]issuance.NewOrder, n)
	for i := range rows {
		rows[i] = row(b.No, int64(i+1), fmt.Sprint(i))
	}
	w.add(b, rows...)
	w.must(w.s.ResetBatch(w.ctx(), b.No))
	w.add(b, row(b.No, 1, "a"))
	w.decide(b, issuance.BatchAccepted, 1)
	w.balance()
}
