package night_test

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/report"
)

// Histories that nobody would think of: whatever order things happen in, and
// wherever processes die, each good row is one card, and all is reported.
func TestNightHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		n := newSmall(r, memoryDir(r), rapid.Uint64Range(1, 1000).Draw(r, "seed"))
		n.drain = 50 * time.Millisecond
		must(r, n.start(&fault{}))
		h := &history{small: n}
		r.Repeat(map[string]func(*rapid.T){
			"drop a file": func(r *rapid.T) {
				if len(n.bank.files) == 6 {
					r.Skip("enough files")
				}
				if n.bank.resend != nil {
					must(r, n.bank.dropAs(resent))
					return
				}
				must(r, n.bank.dropAs(rapid.SampledFrom([]kind{good, cut, wrong, again, grown}).Draw(r, "kind")))
			},
			"run":     func(r *rapid.T) { h.run(rapid.SampledFrom(h.stages()).Draw(r, "stage")) },
			"run all": func(*rapid.T) { _ = n.round() }, // D1 may be out of reach
			"die": func(r *rapid.T) {
				h.die(rapid.SampledFrom(h.stages()).Draw(r, "in"), rapid.IntRange(1, 30).Draw(r, "call"), rapid.Bool().Draw(r, "after"))
			},
			"die sending": func(r *rapid.T) { // few calls, of which every one counts
				if len(n.bank.files) < 6 {
					must(r, n.bank.dropAs(good))
				}
				h.run("intake")
				h.die("submit", rapid.IntRange(2, 8).Draw(r, "call"), rapid.Bool().Draw(r, "after"))
			},
			"lose requests": func(r *rapid.T) {
				n.d1.fates = rapid.SliceOfN(rapid.SampledFrom([]fate{arrives, lostBefore, lostAfter, notSent}), 1, 8).Draw(r, "fates")
			},
			"D1 works": func(*rapid.T) { n.d1.work() },
			"D1 tells": func(r *rapid.T) { h.tell(r) },
			"time passes": func(r *rapid.T) {
				n.pass(time.Duration(rapid.IntRange(1, 90).Draw(r, "minutes")) * time.Minute)
			},
			"": func(r *rapid.T) { h.look(r) },
		})
		h.end(r)
	})
}

// history is a small night to which things happen.
type history struct{ *small }

func (h *history) stages() []string { return []string{"intake", "submit", "track", "report"} }

// run runs one stage. It may fail: D1 may be out of reach.
func (h *history) run(stage string) {
	switch stage {
	case "intake":
		_, err := h.intake.RunOnce(h.ctx)
		must(h.tb, err)
	case "submit":
		_, _ = h.submit.RunOnce(h.ctx)
	case "track":
		_, _ = h.fragile.RecoverSessions(h.ctx, settleFor)
		_, _ = h.track.RunOnce(h.ctx)
	case "report":
		_, err := h.report.RunOnce(h.ctx, report.Options{})
		must(h.tb, err)
	}
}

// die runs a stage in a process that dies at its n-th call to anything, and
// starts another.
func (h *history) die(stage string, call int, after bool) {
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	h.stop()
	if err := h.start(&fault{at: call, after: after, death: cancel}); err == nil {
		alive := h.tb
		h.ctx, h.tb = ctx, deaf{alive}
		h.run(stage)
		h.ctx, h.tb = alive.Context(), alive
	}
	h.stop()
	must(h.tb, h.start(&fault{}))
}

// deaf is the test of a process that dies: what goes wrong is no failure.
type deaf struct{ tb }

func (deaf) Errorf(string, ...any) {}
func (deaf) Fatalf(string, ...any) {}

// tell delivers some of D1's news, in any order, some of it twice, and loses
// some for ever.
func (h *history) tell(r *rapid.T) {
	news := h.d1.takeNews()
	for len(news) > 0 {
		i := rapid.IntRange(0, len(news)-1).Draw(r, "news")
		op := news[i]
		switch rapid.SampledFrom([]string{"tell", "twice", "later", "lose"}).Draw(r, "fate") {
		case "twice":
			if !h.notify(op, op) || !h.notify(op) {
				r.Fatalf("news was not taken")
			}
		case "tell":
			if !h.notify(op) {
				r.Fatalf("news was not taken")
			}
		case "later":
			h.d1.again(op)
		case "lose":
		}
		news = append(news[:i], news[i+1:]...)
	}
}

// look checks what must hold at any moment.
func (h *history) look(r *rapid.T) {
	must(r, h.store.Balance(r.Context()))
	made := map[string]bool{}
	for _, c := range h.d1.ledger() {
		if made[c.orderID] {
			r.Fatalf("order %s was produced twice", c.orderID)
		}
		if !h.bank.ordered[c.orderID] {
			r.Fatalf("D1 was asked for %s, which no accepted file has as a good row", c.orderID)
		}
		made[c.orderID] = true
	}
}

// end lets everything come to rest, and compares.
func (h *history) end(r *rapid.T) {
	h.d1.fates = nil
	if h.bank.resend != nil {
		must(r, h.bank.dropAs(resent))
	}
	for rounds := 0; ; rounds++ {
		err := h.round()
		missing := h.settled()
		if missing == "" {
			must(r, h.round()) // what closed at the very moment of a report has its last one now
			break
		}
		if rounds > 60 {
			r.Fatalf("not settled: %s; the last run: %v", missing, err)
		}
	}
	h.prove()
	h.stop()
}
