package intake_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/validate"
)

// takesChanges makes the bench's source one of change files.
func (b *bench) takesChanges() {
	b.tb.Helper()
	layout, err := orderfile.NewLayout(orderfile.Format{Content: orderfile.Changes})
	b.must(err)
	src := b.source()
	src.Layout = layout
	src.Changes = &intake.Changes{Encoder: src.Encoder.(intake.ChangeEncoder), Rules: func(now time.Time) intake.ChangeChecker {
		return validate.NewChanges(validate.Rules{Products: sample.Products(), Now: now})
	}}
}

// changeFile drops a file of n redirects, of which the given rows are bad.
func (b *bench) changeFile(name string, sequence int64, n int, spoil func(*issuance.Control), bad ...int) {
	b.tb.Helper()
	text := cardholder.NewText
	var out bytes.Buffer
	e, err := orderfile.NewLayoutEncoder(&out, b.source().Layout)
	b.must(err)
	for i := range n {
		r := &orderfile.ChangeRow{OrderID: fmt.Sprintf("ord-%s-%06d", strings.TrimSuffix(name, ".csv"), i), Change: "REDIRECT", DeliveryLastName: text("Umgezogen"),
			DeliveryLine1: text(fmt.Sprintf("%d Chemin du Nouveau", i)), DeliveryCity: text("Oyonnax"), DeliveryZipCode: text("01100"), DeliveryCountryCode: "FR"}
		for _, row := range bad {
			if row == i+1 {
				r.DeliveryZipCode = text("0110")
			}
		}
		b.must(e.EncodeChange(r))
	}
	b.must(e.Flush())
	sum := sha256.Sum256(out.Bytes())
	c := issuance.Control{File: name, Rows: int64(n), SHA256: hex.EncodeToString(sum[:]), IssuerID: issuerID, Environment: "TEST", Sequence: sequence,
		BusinessDate: "2026-03-01", CreatedAt: night.Format(time.RFC3339)}
	if spoil != nil {
		spoil(&c)
	}
	ctl, err := orderfile.EncodeControl(c)
	b.must(err)
	b.write(name, out.Bytes())
	b.write(name+".ctl", ctl)
}

func TestChangeFileIsTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.takesChanges()
	b.changeFile("c1.csv", 1, 1000, nil, 2, 700)
	if sum := b.mustRun(); sum.Accepted != 1 || sum.Rows != 1000 || sum.Ready != 998 || sum.Rejected != 2 || !sum.HasRejects() {
		t.Errorf("%+v", sum)
	}
	batch := b.only()
	if batch.Kind != issuance.BatchChanges || batch.State != issuance.BatchAccepted || batch.Rows != 1000 {
		t.Errorf("%+v", batch)
	}
	row := int64(0)
	for c, err := range b.store.ChangesOfBatch(t.Context(), batch.No) {
		b.must(err)
		if row++; c.Ref.Row() != row || c.Line != row+1 || (c.State == issuance.ChangeRejected) != (row == 2 || row == 700) {
			t.Fatalf("row %d: %+v", row, c)
		}
	}
	if got := b.files("archive"); len(got) != 2 {
		t.Errorf("archived: %q", got)
	}
	names, err := filepath.Glob(b.path + "*")
	b.must(err)
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil && contains(append(data, b.logs.Bytes()...), []string{"Umgezogen", "Nouveau", "Oyonnax"}) > 0 {
			t.Errorf("%s holds an address", filepath.Base(name))
		}
	}
}

// What is checked of an order file as a whole is checked of a change file.
func TestChangeFileAsAWhole(t *testing.T) {
	t.Parallel()
	for code, spoil := range map[issuance.Code]func(c *issuance.Control){
		issuance.ChecksumMismatch:     func(c *issuance.Control) { c.SHA256 = strings.Repeat("0a", 32) },
		issuance.RowCountMismatch:     func(c *issuance.Control) { c.Rows-- },
		issuance.Truncated:            func(c *issuance.Control) { c.Rows++ },
		issuance.WrongIssuer:          func(c *issuance.Control) { c.IssuerID = "OTHERBANK1" },
		issuance.WrongEnvironment:     func(c *issuance.Control) { c.Environment = "PRODUCTION" },
		issuance.ProductCountMismatch: func(c *issuance.Control) { c.Products = map[string]int64{sample.ProductVisa: 3} },
		issuance.SequenceRepeated:     func(c *issuance.Control) { c.Sequence = 1 },
	} {
		b := newBench(t)
		b.takesChanges()
		b.changeFile("c1.csv", 1, 2, nil)
		b.changeFile("c2.csv", 2, 3, spoil)
		b.mustRun()
		if got := b.batches()[1]; got.State != issuance.BatchRefused || got.Code != code {
			t.Errorf("%s: %s %s", code, got.State, got.Code)
		}
	}
	b := newBench(t)
	b.takesChanges()
	b.source().Accept = intake.AllOrNothing
	b.changeFile("c1.csv", 1, 3, nil, 2)
	b.mustRun()
	if got := b.only(); got.Code != issuance.TooManyRejects {
		t.Errorf("all or nothing: %s", got.Code)
	}
	g := b.generate("orders.csv", 2, sample.Options{Rows: 3})
	b.drops(g)
	b.mustRun()
	if got := b.batches()[1]; got.Code != issuance.HeaderInvalid {
		t.Errorf("an order file: %s", got.Code)
	}
}

// Every call to the drop fails once, in turn, and the process dies after it; in
// the end the file is taken once, whole.
func TestChangeFileAfterCrashes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.takesChanges()
	b.changeFile("c1.csv", 1, 600, nil, 5)
	for n := 1; ; n++ {
		b.drop.calls, b.drop.failAt, b.drop.after = 0, n, n%2 == 0
		_, err := b.run()
		b.must(b.store.Balance(t.Context()))
		b.restart()
		_, rerr := b.store.RecoverSessions(t.Context(), time.Minute)
		b.must(rerr)
		if err == nil {
			break
		}
	}
	b.drop.failAt = 0
	b.mustRun()
	batch := b.only()
	totals, err := b.store.ChangeTotals(t.Context(), batch.No)
	b.must(err)
	if batch.State != issuance.BatchAccepted || totals.State(issuance.ChangeWaiting) != 599 || totals.State(issuance.ChangeRejected) != 1 {
		t.Errorf("%s %+v", batch.State, totals)
	}
}
