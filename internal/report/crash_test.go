package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// busyNight has something for every kind of report.
func busyNight(t *testing.T) *night {
	t.Helper()
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{},
		ordered("ORD-1", issuance.Submitted), ordered("ORD-2", issuance.Rejected), ordered("ORD-3", issuance.Submitted))
	n.reject(no, 2, "pan", issuance.PANInvalid, "the check digit is wrong", "411111******1112")
	n.hear(no, 1, issuance.CardProdOngoing, issuance.Shipment{})
	n.decide(no, issuance.BatchSettled)
	n.take("cards-2.csv", issuance.BatchRefused, issuance.Why{Code: issuance.ChecksumMismatch, Reason: "not what was announced"})
	return n
}

func (n *night) contents() map[string]string {
	all := map[string]string{}
	for _, sub := range []string{"reports", "quarantine"} {
		for _, name := range n.files(sub) {
			all[sub+"/"+name] = n.read(sub + "/" + name)
		}
	}
	return all
}

var errCrash = errors.New("the process dies here")

// crashAt makes the k-th step of the run, counted from 0, and all after it
// fail. The function returned mends all and tells whether there were as many.
func (n *night) crashAt(k int) func() bool {
	steps := 0
	fault := func(string) error {
		if steps++; steps > k {
			return errCrash
		}
		return nil
	}
	n.store.fault, n.drop.fault = fault, fault
	return func() bool {
		n.store.fault = func(string) error { return nil }
		n.drop.fault = n.store.fault
		return steps > k
	}
}

// runAgain does what is left.
func (n *night) runAgain() {
	n.t.Helper()
	n.run(n.left()...)
}

// left are the kinds still wanted. A daily file that was delivered is not
// wanted again: asking for one always gives one.
func (n *night) left() []string {
	return slices.DeleteFunc(Kinds(), func(kind string) bool {
		return slices.ContainsFunc(n.store.deliveries, func(d issuance.Delivery) bool {
			return ofIssuer(d.Kind) && string(d.Kind) == kind && !d.DeliveredAt.IsZero()
		})
	})
}

// eachEnvelope runs a test with files in the clear and with files in envelopes.
func eachEnvelope(t *testing.T, test func(t *testing.T, busyNight func(*testing.T) *night)) {
	t.Helper()
	t.Run("clear", func(t *testing.T) {
		t.Parallel()
		test(t, busyNight)
	})
	mail := newPost(t)
	t.Run("encrypted", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T) *night {
			t.Helper()
			n := busyNight(t)
			n.encrypt(mail)
			return n
		})
	})
}

// Wherever the process dies, the next run ends with the very files that an
// undisturbed one writes.
func TestCrashAnywhereLeadsToTheSameFiles(t *testing.T) {
	t.Parallel()
	eachEnvelope(t, testCrashAnywhere)
}

func testCrashAnywhere(t *testing.T, busyNight func(*testing.T) *night) {
	t.Helper()
	undisturbed := busyNight(t)
	undisturbed.run()
	want := undisturbed.opened()
	if len(want) != 12 {
		t.Fatalf("%d files, want 6 reports with their control files", len(want))
	}
	for k := 0; ; k++ {
		n := busyNight(t)
		crashed := n.crashAt(k)
		_, err := n.stage().RunOnce(t.Context(), Options{BusinessDate: firstDay})
		if !crashed() {
			if k < 30 {
				t.Errorf("only %d steps were tried", k)
			}
			return
		}
		if !errors.Is(err, errCrash) {
			t.Fatalf("step %d: error %v", k, err)
		}
		n.runAgain()
		if diff := cmp.Diff(want, n.opened()); diff != "" {
			t.Fatalf("step %d (-undisturbed +after a crash):\n%s", k, diff)
		}
		n.checkLedger(fmt.Sprint("step ", k))
	}
}

// When rows have changed between the crash and the next run, a file may be
// left that nobody was told of; every one that was announced is sound.
func TestCrashAndChangeNeverAnnouncesAWrongFile(t *testing.T) {
	t.Parallel()
	eachEnvelope(t, testCrashAndChange)
}

func testCrashAndChange(t *testing.T, busyNight func(*testing.T) *night) {
	t.Helper()
	orphans := 0
	for k := 0; ; k++ {
		n := busyNight(t)
		crashed := n.crashAt(k)
		_, _ = n.stage().RunOnce(t.Context(), Options{BusinessDate: firstDay})
		if !crashed() {
			break
		}
		n.pass(time.Minute)
		n.hear(1, 1, issuance.CardShipped, issuance.Shipment{Carrier: "laposte"})
		n.runAgain()
		n.checkLedger(fmt.Sprint("step ", k))
		for name, content := range n.contents() {
			if strings.HasSuffix(name, ".ctl") {
				continue
			}
			if _, announced := n.contents()[name+".ctl"]; !announced {
				if orphans++; strings.Contains(name, exceptionsKind) {
					t.Fatalf("step %d: %s was left and another one was written", k, name)
				}
				continue
			}
			if c := n.control(name); c.Size != int64(len(content)) {
				t.Fatalf("step %d: %s has %d bytes, announced are %d", k, name, len(content), c.Size)
			}
		}
	}
	if orphans == 0 {
		t.Error("no step left a file that was not announced: the test does not reach that case")
	}
}

// checkLedger checks that every delivery is marked and says what is there.
func (n *night) checkLedger(when string) {
	n.t.Helper()
	for _, d := range n.store.deliveries {
		dir := strings.TrimPrefix(d.Destination, "sftp:")
		c := n.control(dir + "/" + d.Name)
		if d.DeliveredAt.IsZero() || c.SHA256 != d.SHA256 || c.Size != d.Size || c.Rows != d.Rows || c.Revision != d.Revision {
			n.t.Fatalf("%s: delivery %+v, control file %+v", when, d, c)
		}
	}
}

func TestForeignFileWithOurNameIsLeftAlone(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted))
	n.decide(no, issuance.BatchSettled)
	n.write("reports/cards-1.reconciliation.csv", "somebody else's")
	n.write("reports/cards-1.reconciliation.csv.ctl", "{}")
	n.write("reports/cards-1.reconciliation.r2.csv.ctl", "not even JSON")
	n.run(reconciliationKind)
	if n.read("reports/cards-1.reconciliation.csv") != "somebody else's" || n.read("reports/cards-1.reconciliation.csv.ctl") != "{}" {
		t.Error("a foreign file was changed")
	}
	if c := n.control("reports/cards-1.reconciliation.r3.csv"); c.Revision != 3 || c.File != "cards-1.reconciliation.r3.csv" {
		t.Errorf("control file %+v", c)
	}
	n.checkLedger("after the run")
	if got := strings.Count(n.log.String(), `"level":"warn"`); got != 2 {
		t.Errorf("%d warnings, want 2", got)
	}
}

// The answer to a Put can get lost although the file is there.
func TestLostAnswerIsFoundAgain(t *testing.T) {
	t.Parallel()
	eachEnvelope(t, testLostAnswer)
}

func testLostAnswer(t *testing.T, busyNight func(*testing.T) *night) {
	t.Helper()
	n := busyNight(t)
	n.drop.fault = func(op string) error {
		if op == "Put" {
			return fmt.Errorf("connection lost: %w", drop.ErrUnavailable)
		}
		return nil
	}
	// Every run gets one step further: a file, a control file.
	for range 20 {
		if _, err := n.stage().RunOnce(t.Context(), Options{BusinessDate: firstDay, Kinds: n.left()}); err == nil {
			break
		}
	}
	undisturbed := busyNight(t)
	undisturbed.run()
	if diff := cmp.Diff(undisturbed.opened(), n.opened()); diff != "" {
		t.Errorf("files (-undisturbed +lost answers):\n%s", diff)
	}
}
