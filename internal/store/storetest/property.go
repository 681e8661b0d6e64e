package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

// machine does at random what the stages, D1 and bad luck do, and remembers
// only what must never be forgotten: which orders D1 is known to have.
type machine struct {
	*world
	keys   int // order-0 … order-keys-1 exist
	news   int
	claims []issuance.Claim
	atD1   map[string]bool
}

// anySequence: whatever happens in whatever order, the books balance, and no
// order that D1 is known to have is ever given out to be sent again.
func anySequence(t *testing.T, create func(tb testing.TB) Database) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{TB: rt, t: t, db: create(t), clock: &clock{at: time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)}}
		w.s, w.session = w.open()
		defer func() { w.must(w.s.Close()) }()
		m := &machine{world: w, atD1: map[string]bool{}}
		rt.Repeat(map[string]func(*rapid.T){
			"load": m.load, "claim": m.claimSome, "record": m.recordSome, "release": m.releaseSome, "notify": m.notifySome,
			"decide": m.decideSome, "crash": m.crash, "hear": m.hearSome, "advance": m.advance,
		})
		w.balance()
		m.checkSuspects()
		for id := range m.atD1 {
			w.wantState(id[len("order-"):], issuance.Submitted)
		}
	})
}

func (m *machine) load(rt *rapid.T) {
	b := m.claimFile()
	var rows []issuance.NewOrder
	for i := range rapid.IntRange(0, 6).Draw(rt, "rows") {
		r := rejectedRow(b.No, int64(i+1))
		switch key := rapid.IntRange(-1, m.keys+3).Draw(rt, "key"); {
		case key >= m.keys:
			r = row(b.No, int64(i+1), fmt.Sprint(m.keys))
			r.Urgency = rapid.SampledFrom(issuance.Urgencies()).Draw(rt, "urgency")
			m.keys++
		case key >= 0:
			r = row(b.No, int64(i+1), fmt.Sprint(key))
			if rapid.Bool().Draw(rt, "conflict") {
				r.ContentMAC = []byte("other")
			}
		}
		rows = append(rows, r)
	}
	m.add(b, rows...)
	m.decide(b, issuance.BatchAccepted, int64(len(rows)))
}

func (m *machine) claimSome(rt *rapid.T) {
	for _, c := range m.claim(rapid.IntRange(1, 5).Draw(rt, "max")) {
		if m.atD1[c.OrderID] {
			rt.Fatalf("%s was given out, and D1 has it", c.OrderID)
		}
		m.claims = append(m.claims, c)
	}
}

// recordSome records any claim ever made, so late and repeated outcomes too.
func (m *machine) recordSome(rt *rapid.T) {
	c, ok := m.anyClaim(rt)
	if !ok {
		return
	}
	to := rapid.SampledFrom([]issuance.State{issuance.Submitted, issuance.Refused, issuance.Unknown, issuance.Ready, issuance.Held}).Draw(rt, "to")
	m.record(outcome(c, to))
	if to == issuance.Submitted {
		m.atD1[c.OrderID] = true
	}
}

func (m *machine) anyClaim(rt *rapid.T) (issuance.Claim, bool) {
	if len(m.claims) == 0 {
		return issuance.Claim{}, false
	}
	return rapid.SampledFrom(m.claims).Draw(rt, "claim"), true
}

func (m *machine) releaseSome(rt *rapid.T) {
	if c, ok := m.anyClaim(rt); ok {
		m.must(m.s.Release(m.ctx(), m.session, []issuance.Ref{c.Ref}))
	}
}

func (m *machine) operation(rt *rapid.T) (issuance.Operation, bool) {
	if m.keys == 0 {
		return issuance.Operation{}, false
	}
	key := fmt.Sprint(rapid.IntRange(0, m.keys-1).Draw(rt, "order"))
	status := rapid.SampledFrom([]issuance.ProductionStatus{issuance.CardProdRequested, issuance.CardProdOnHold, issuance.DataException,
		issuance.CardShipped, "NEW_STATUS"}).Draw(rt, "status")
	m.atD1["order-"+key] = true
	return produce(key, status, m.clock.now()), true
}

func (m *machine) notifySome(rt *rapid.T) {
	if op, ok := m.operation(rt); ok {
		m.news++
		m.notify(fmt.Sprint(rapid.IntRange(m.news-1, m.news).Draw(rt, "digest"), op.IssuerRequestID, op.Production), op)
	}
}

func (m *machine) hearSome(rt *rapid.T) {
	if op, ok := m.operation(rt); ok {
		ref := m.order(op.IssuerRequestID[len("order-"):]).Ref
		m.must(m.s.HearOrders(m.ctx(), bank, "track", []issuance.Heard{{Ref: ref, Operations: []issuance.Operation{op}}}))
	}
}

func (m *machine) decideSome(rt *rapid.T) {
	c, ok := m.anyClaim(rt)
	if !ok {
		return
	}
	to := rapid.SampledFrom([]issuance.State{issuance.Unknown, issuance.Ready, issuance.Held}).Draw(rt, "to")
	m.must(m.s.DecideUnknown(m.ctx(), []issuance.Outcome{outcome(c, to)}))
}

// crash ends the process without a word; the next one recovers.
func (m *machine) crash(rt *rapid.T) {
	m.restart()
	_, err := m.s.RecoverSessions(m.ctx(), time.Duration(rapid.IntRange(0, 2).Draw(rt, "settle"))*time.Minute)
	m.must(err)
}

func (m *machine) advance(*rapid.T) {
	m.clock.advance(time.Minute)
	_, _, err := m.s.AdvanceBatches(m.ctx())
	m.must(err)
	m.balance()
}

// checkSuspects: whatever has happened, no order that waits for a person, or
// was lost on the way, escapes those who look for such.
func (m *machine) checkSuspects() {
	m.Helper()
	suspected := m.suspected(issuance.SuspectFilter{IssuerID: bank, QuietSince: m.clock.now().Add(-day), EndedAfter: m.clock.now().Add(-365 * day)})
	for key := range m.keys {
		found, err := m.s.Order(m.ctx(), bank, fmt.Sprint("order-", key))
		m.must(err)
		for _, o := range found {
			b, err := m.s.BatchByNo(m.ctx(), o.Ref.Batch())
			m.must(err)
			wanted := map[string]bool{"held": true, "unknown": true, "refused": true, "failed": true, "on_hold": true}[o.Disposition()] ||
				o.Production.Status == issuance.CardReturned || len(o.OtherOperations) > 0
			if wanted && b.State != issuance.BatchRefused && !slices.Contains(suspected, o.OrderID) {
				m.Errorf("%s is %s, its file %s, and is no suspect among %q", o.OrderID, o.Disposition(), b.State, suspected)
			}
		}
	}
}
