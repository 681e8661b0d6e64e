package submit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

type states = map[issuance.State]int

func TestEveryOrderIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1000, Config{ClaimSize: 64, InFlight: 8}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			wait(time.Duration(i%7) * time.Millisecond) // in the bubble this costs nothing
			return accept(ctx, i, c)
		})
		sum, err := b.RunOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 1000})
		if sum.Claimed != 1000 || sum.Submitted != 1000 || sum.Rejected() {
			t.Errorf("summary: %+v", sum)
		}
		if len(b.sent) != 1000 {
			t.Errorf("%d requests for 1000 orders", len(b.sent))
		}
		for _, size := range b.store.slices {
			if size > 64 {
				t.Errorf("a slice of %d was claimed", size)
			}
		}
		if o := b.store.orders[4]; o.OperationID != "op-"+o.OrderID {
			t.Errorf("operation id is %q", o.OperationID)
		}
	})
}

func TestNothingReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 0, Config{}, accept)
		sum, err := b.RunOnce(t.Context())
		if err != nil || sum.Claimed != 0 {
			t.Errorf("summary %+v, error %v", sum, err)
		}
	})
}

// TestOutcomes states what each class of answer means for the order.
func TestOutcomes(t *testing.T) {
	class := func(c retry.Class, status int, code, reason string, after time.Duration) error {
		return fmt.Errorf("send order: %w", &retry.Error{Class: c, Status: status, Code: code, Reason: reason, After: after})
	}
	const alreadyThere = "D1 says that it has the order already"
	for name, tt := range map[string]struct {
		err  error
		want issuance.Outcome
		rest time.Duration // exactly, until the next attempt
		sum  Summary
		slow []time.Duration
	}{
		"accepted": {nil, issuance.Outcome{To: issuance.Submitted, OperationID: "op"}, 0, Summary{Submitted: 1}, nil},
		"refused": {class(retry.Refused, 400, "FIELD_INVALID_VALUE", "countryCode", 0),
			issuance.Outcome{To: issuance.Refused, Code: "FIELD_INVALID_VALUE", Reason: "countryCode"}, 0, Summary{Refused: 1}, nil},
		"refused without a code": {class(retry.Refused, 400, "", "", 0),
			issuance.Outcome{To: issuance.Refused, Code: "HTTP_400"}, 0, Summary{Refused: 1}, nil},
		"D1 has it already": {class(retry.Refused, 403, "DUPLICATE_REQUEST", "", 0),
			issuance.Outcome{To: issuance.Unknown, Code: "DUPLICATE_REQUEST", Reason: alreadyThere}, 0, Summary{Unknown: 1}, nil},
		"D1 has it already, as the client reads it": {class(retry.Unknown, 409, "DUPLICATE_REQUEST", "", 0),
			issuance.Outcome{To: issuance.Unknown, Code: "DUPLICATE_REQUEST", Reason: alreadyThere}, 0, Summary{Unknown: 1}, nil},
		"conflict": {class(retry.Refused, 409, "", "", 0),
			issuance.Outcome{To: issuance.Unknown, Reason: alreadyThere}, 0, Summary{Unknown: 1}, nil},
		"server error": {class(retry.Unknown, 500, "HTTP_500", "", 0),
			issuance.Outcome{To: issuance.Unknown, Code: "HTTP_500", Reason: "outcome unknown: HTTP_500"}, time.Minute, Summary{Unknown: 1}, nil},
		"unclassified": {errors.New("reset"),
			issuance.Outcome{To: issuance.Unknown, Code: "UNCLASSIFIED", Reason: "outcome unknown: no answer"}, time.Minute, Summary{Unknown: 1}, nil},
		"throttled": {class(retry.NotDone, 429, "HTTP_429", "", 90*time.Second),
			issuance.Outcome{To: issuance.Ready, Code: "HTTP_429", Reason: "not delivered: HTTP_429"}, 90 * time.Second,
			Summary{NotDone: 1}, []time.Duration{90 * time.Second}},
		"throttled, no hint": {class(retry.NotDone, 429, "HTTP_429", "", 0),
			issuance.Outcome{To: issuance.Ready, Code: "HTTP_429", Reason: "not delivered: HTTP_429"}, 30 * time.Second,
			Summary{NotDone: 1}, []time.Duration{0}},
		"connection refused": {&retry.Error{Class: retry.NotDone, Code: retry.CodeTransport, Unavailable: true},
			issuance.Outcome{To: issuance.Ready, Code: "TRANSPORT", Reason: "not delivered: no answer"}, 30 * time.Second,
			Summary{NotDone: 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 1, Config{}, func(context.Context, int, issuance.Claim) (string, error) { return "op", tt.err })
				start := time.Now()
				sum, err := b.RunOnce(t.Context())
				if err != nil && !errors.Is(err, ErrUnavailable) { // of one order, that is; see TestFewOrders
					t.Fatal(err)
				}
				tt.sum.IssuerID, tt.sum.Claimed, sum.Seconds, sum.Stopped = issuer, 1, 0, ""
				if diff := cmp.Diff(tt.sum, sum); diff != "" {
					t.Errorf("summary (-want +got):\n%s", diff)
				}
				o := b.store.orders[0]
				got := issuance.Outcome{To: o.State, OperationID: o.OperationID, Code: o.Code, Reason: o.Reason}
				if tt.err != nil {
					got.OperationID = ""
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("order (-want +got):\n%s", diff)
				}
				if o.NextAttemptAt.IsZero() != (o.State != issuance.Unknown && tt.rest == 0) {
					t.Errorf("next attempt at %s", o.NextAttemptAt)
				}
				if tt.rest > 0 && !o.NextAttemptAt.Equal(start.Add(tt.rest)) {
					t.Errorf("rests %s, want %s", o.NextAttemptAt.Sub(start), tt.rest)
				}
				if diff := cmp.Diff(tt.slow, b.limiter.slow); diff != "" {
					t.Errorf("pauses (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestPayloadLostIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3, Config{}, accept)
		b.store.payloads[b.store.orders[1].Ref] = nil
		sum, err := b.RunOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 2, issuance.Held: 1})
		if o := b.store.orders[1]; o.Code != issuance.PayloadLost || !sum.Rejected() {
			t.Errorf("held with code %q, summary %+v", o.Code, sum)
		}
	})
}

// A single order's outcome must not wait for a full group.
func TestOutcomesAreRecordedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 2, Config{}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			if i == 2 {
				wait(10 * time.Second)
			}
			return accept(ctx, i, c)
		})
		start := time.Now()
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(b.store.records) != 2 || b.store.records[0].Sub(start) != 200*time.Millisecond {
			t.Errorf("recorded after %v", b.store.records)
		}
	})
}

// The run begins with one order alone and goes wide after D1 accepted it.
func TestProbesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inFlight, most := 0, 0
		var b *bench
		b = newBench(t, 50, Config{InFlight: 8}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			b.mu.Lock()
			inFlight++
			most = max(most, inFlight)
			if i == 1 && most != 1 {
				t.Error("the first order had company")
			}
			b.mu.Unlock()
			wait(time.Second)
			b.mu.Lock()
			defer b.mu.Unlock()
			if i == 1 && inFlight != 1 {
				t.Error("the first order was not answered when others left")
			}
			inFlight--
			return accept(ctx, i, c)
		})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if most != 8 {
			t.Errorf("%d requests at a time, want 8", most)
		}
	})
}

func TestOneRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, Config{}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			wait(time.Second)
			return accept(ctx, i, c)
		})
		done := make(chan error)
		go func() { _, err := b.RunOnce(t.Context()); done <- err }()
		synctest.Wait()
		if _, err := b.RunOnce(t.Context()); err == nil {
			t.Error("two runs were under way")
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNothingPrivateIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 5, Config{}, accept)
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if log := b.log.String(); strings.Contains(log, "body of") || strings.Count(log, "\n") != 1 {
			t.Errorf("the log has %d lines, want one without bodies", strings.Count(log, "\n"))
		}
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	good := newBench(t, 0, Config{}, accept)
	for name, breakIt := range map[string]func(*Config, *Deps){
		"no issuer":      func(c *Config, _ *Deps) { c.IssuerID = "" },
		"no session":     func(c *Config, _ *Deps) { c.Session = "" },
		"no store":       func(_ *Config, d *Deps) { d.Store = nil },
		"no limiter":     func(_ *Config, d *Deps) { d.Limiter = nil },
		"negative size":  func(c *Config, _ *Deps) { c.ClaimSize = -1 },
		"negative drain": func(c *Config, _ *Deps) { c.DrainLimit = -1 },
	} {
		cfg, deps := good.Config, good.Deps
		breakIt(&cfg, &deps)
		if _, err := New(cfg, deps); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
