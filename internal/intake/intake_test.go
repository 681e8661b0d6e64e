package intake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile/sample"
)

func TestAGoodFileBecomesReadyOrders(t *testing.T) {
	b := newBench(t)
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 1000, Seed: 1, BadEvery: 37, RepeatEvery: 51})
	b.drops(g)
	sum := b.mustRun()
	bad, repeats := int64(len(g.file.Bad)), int64(len(g.file.Repeats))
	want := intake.Summary{Files: 1, Accepted: 1, Rows: 1000, Ready: 1000 - bad - repeats, Rejected: bad, Duplicate: repeats}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Fatalf("summary (-want +got):\n%s", diff)
	}
	batch := b.only()
	if batch.State != issuance.BatchAccepted || batch.SHA256 != g.file.SHA256 || batch.Size != g.file.Size {
		t.Errorf("the batch is %s, %d bytes, sum %s", batch.State, batch.Size, batch.SHA256)
	}
	for _, o := range b.orders(batch.No) {
		row := o.Ref.Row()
		code, isBad := g.file.Bad[row]
		_, isRepeat := g.file.Repeats[row]
		switch {
		case isBad && (o.State != issuance.Rejected || o.Code != code):
			t.Errorf("row %d is %s %s, want rejected %s", row, o.State, o.Code, code)
		case isRepeat && (o.State != issuance.Duplicate || o.Code != issuance.OrderRepeated):
			t.Errorf("row %d is %s %s, want a duplicate", row, o.State, o.Code)
		case !isBad && !isRepeat && o.State != issuance.Ready:
			t.Errorf("row %d is %s %s, want ready", row, o.State, o.Code)
		}
		if o.Line != row+1 {
			t.Errorf("row %d is said to be on line %d", row, o.Line)
		}
	}
	if got := b.files("drop"); len(got) != 0 {
		t.Errorf("left in the drop: %v", got)
	}
	want2 := []string{"cards-1.csv", "cards-1.csv.ctl"}
	if diff := cmp.Diff(want2, b.files("archive")); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	original, err := os.ReadFile(filepath.Join(b.dir, "archive", want2[0]))
	if err != nil || !bytes.Equal(original, g.content) {
		t.Errorf("the archived file is not the dropped one, error %v", err)
	}
}

func TestNothingReadableIsKept(t *testing.T) {
	b := newBench(t)
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 200, Seed: 2, BadEvery: 7})
	b.drops(g)
	b.mustRun()
	b.close()
	if len(g.clear) < 600 {
		t.Fatalf("only %d clear values to look for", len(g.clear))
	}
	files, err := filepath.Glob(filepath.Dir(b.path) + "/*")
	b.must(err)
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			continue // a directory
		}
		if n := contains(content, g.clear); n > 0 {
			t.Errorf("%s holds %d clear values", filepath.Base(f), n)
		}
	}
	if n := contains(b.logs.Bytes(), g.clear); n > 0 {
		t.Errorf("the log holds %d clear values", n)
	}
}

// Every way in which a whole file can be wrong has its code, nothing of the
// file stays behind, and it can be sent again corrected.
func TestRefusedFiles(t *testing.T) {
	tests := []struct {
		name  string
		code  issuance.Code
		spoil func(*generated)
	}{
		{"cut after some rows", issuance.Truncated, func(g *generated) {
			g.content = g.content[:bytes.LastIndexByte(g.content[:len(g.content)/2], '\n')+1]
		}},
		{"cut inside a row", issuance.Truncated, func(g *generated) { g.content = g.content[:len(g.content)-40] }},
		{"one row too many", issuance.RowCountMismatch, func(g *generated) { g.control.Rows-- }},
		{"wrong checksum", issuance.ChecksumMismatch, func(g *generated) { g.control.SHA256 = strings.Repeat("0", 64) }},
		{"product count", issuance.ProductCountMismatch, func(g *generated) { g.control.Products[sample.ProductVisa]++ }},
		{"a product not counted", issuance.ProductCountMismatch, func(g *generated) { delete(g.control.Products, sample.ProductMastercard) }},
		{"fewer than the file has", issuance.ProductCountMismatch, func(g *generated) { g.control.Products[sample.ProductVisa]-- }},
		{"wrong issuer", issuance.WrongIssuer, func(g *generated) { g.control.IssuerID = "OTHERBANK1" }},
		{"wrong environment", issuance.WrongEnvironment, func(g *generated) { g.control.Environment = "PRODUCTION" }},
		{"header", issuance.HeaderInvalid, func(g *generated) {
			g.content = bytes.Replace(g.content, []byte("order_id"), []byte("orderid"), 1)
		}},
		{"not text", issuance.FileUnreadable, func(g *generated) { g.content = append([]byte("order_id\x00"), g.content...) }},
		{"compressed", issuance.CompressionInvalid, func(g *generated) { g.content = append([]byte("PK\x03\x04"), g.content...) }},
		{"another charset", issuance.CharsetInvalid, func(g *generated) { g.content = append([]byte("\xFF\xFE"), g.content...) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			g := b.generate("cards-1.csv", 1, sample.Options{Rows: 300, Seed: 3})
			tt.spoil(g)
			b.drops(g)
			if sum := b.mustRun(); sum.Refused != 1 || sum.Ready != 0 {
				t.Fatalf("summary %+v", sum)
			}
			batch := b.only()
			if batch.State != issuance.BatchRefused || batch.Code != tt.code || batch.Reason == "" {
				t.Fatalf("the batch is %s %s (%s), want refused %s", batch.State, batch.Code, batch.Reason, tt.code)
			}
			if n := len(b.orders(batch.No)); n != 0 {
				t.Errorf("%d orders of the refused file stay behind", n)
			}
			if got := b.files("quarantine"); len(got) != 2 || len(b.files("drop")) != 0 {
				t.Errorf("quarantine %v, drop %v", got, b.files("drop"))
			}
			b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 300, Seed: 3}))
			if sum := b.mustRun(); sum.Accepted != 1 || sum.Ready != 300 {
				t.Errorf("the corrected file: %+v", sum)
			}
		})
	}
}

// The receipt shows the checksum as that of the file: of a part it would send
// people looking for a damaged transfer.
func TestAFileNotReadToItsEndHasNoChecksum(t *testing.T) {
	b := newBench(t)
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 2000, Seed: 1})
	g.content = bytes.Replace(g.content, []byte("card_id"), []byte("cardid"), 1)
	b.drops(g)
	b.mustRun()
	if got := b.only(); got.Code != issuance.HeaderInvalid || got.SHA256 != "" || got.Size != int64(len(g.content)) {
		t.Errorf("code %s, checksum %q, size %d; want no checksum and %d bytes", got.Code, got.SHA256, got.Size, len(g.content))
	}
}

func TestRepeatedFiles(t *testing.T) {
	options := sample.Options{Rows: 20, Seed: 4}
	other := sample.Options{Rows: 20, Seed: 5, Prefix: "oth"}
	tests := []struct {
		name   string
		code   issuance.Code
		second func(*bench) *generated
	}{
		{"same content, other name", issuance.DuplicateContent, func(b *bench) *generated { return b.generate("cards-2.csv", 2, options) }},
		{"same sequence", issuance.SequenceRepeated, func(b *bench) *generated { return b.generate("cards-2.csv", 1, other) }},
		{"same name", issuance.DuplicateName, func(b *bench) *generated { return b.generate("cards-1.csv", 2, other) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.drops(b.generate("cards-1.csv", 1, options))
			b.mustRun()
			b.drops(tt.second(b))
			b.mustRun()
			all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
			b.must(err)
			if len(all) != 2 || all[1].State != issuance.BatchRefused || all[1].Code != tt.code {
				t.Fatalf("the second file is %s %s, want refused %s", all[1].State, all[1].Code, tt.code)
			}
			if !strings.Contains(all[1].Reason, all[0].ID) {
				t.Errorf("the reason %q does not name the first batch", all[1].Reason)
			}
		})
	}
}

func TestASequenceGapIsTakenAndSaid(t *testing.T) {
	b := newBench(t)
	b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1}))
	b.mustRun()
	b.drops(b.generate("cards-3.csv", 3, sample.Options{Rows: 5, Seed: 2, Prefix: "oth"}))
	if sum := b.mustRun(); sum.Accepted != 1 {
		t.Fatalf("summary %+v", sum)
	}
	all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
	b.must(err)
	if all[1].State != issuance.BatchAccepted || all[1].Code != issuance.SequenceGap {
		t.Errorf("the batch is %s %s", all[1].State, all[1].Code)
	}
}

// TestStrictSequence: files after a gap wait, and go in order as soon as the
// missing one is there.
func TestStrictSequence(t *testing.T) {
	b := newBench(t)
	b.source().Sequence = intake.SequenceStrict
	file := func(n int64) {
		b.drops(b.generate(fmt.Sprintf("cards-%d.csv", n), n,
			sample.Options{Rows: 5, Seed: uint64(n), Prefix: fmt.Sprintf("f%d", n)}))
	}
	states := func() string {
		all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
		b.must(err)
		var text []string
		for _, batch := range all {
			text = append(text, fmt.Sprintf("%d %s %s", batch.Control.Sequence, batch.State, batch.Code))
		}
		return strings.Join(text, ", ")
	}
	check := func(want string) {
		t.Helper()
		if got := states(); got != want {
			t.Errorf("the files are %q, want %q", got, want)
		}
	}
	file(7) // the first of all may have any number
	b.mustRun()
	file(10)
	b.mustRun()
	file(9)
	if sum := b.mustRun(); sum.Held != 1 {
		t.Errorf("summary %+v", sum)
	}
	check("7 accepted , 10 held SEQUENCE_GAP, 9 held SEQUENCE_GAP")
	claims, err := b.store.ClaimReady(t.Context(), issuerID, b.cfg.Session, 100)
	b.must(err)
	if len(claims) != 5 {
		t.Errorf("%d orders can be sent, want those of the first file", len(claims))
	}
	if len(b.files("archive")) != 6 {
		t.Errorf("archive %v", b.files("archive"))
	}
	file(8)
	if sum := b.mustRun(); sum.Accepted != 1 || sum.Released != 2 {
		t.Errorf("summary %+v", sum)
	}
	check("7 accepted , 10 accepted , 9 accepted , 8 accepted ")

	// An operator lets one pass; the next in turn follows, the missing one may still come.
	file(13)
	file(14)
	b.mustRun()
	check("7 accepted , 10 accepted , 9 accepted , 8 accepted , 13 held SEQUENCE_GAP, 14 held SEQUENCE_GAP")
	all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
	b.must(err)
	b.must(b.store.DecideBatch(t.Context(), all[4], issuance.BatchAccepted, issuance.Why{Operator: "anna", Reason: "12 will not come"}))
	if sum := b.mustRun(); sum.Released != 1 {
		t.Errorf("summary %+v", sum)
	}
	reason := func(sequence int64) string {
		all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
		b.must(err)
		for _, batch := range all {
			if batch.Control.Sequence == sequence {
				return batch.Reason
			}
		}
		return ""
	}
	if got, want := reason(14), "was held for a missing file; sequence 13 is there now"; got != want {
		t.Errorf("14 was taken because %q, want %q", got, want)
	}
	file(11)
	if sum := b.mustRun(); sum.Accepted != 1 {
		t.Errorf("a late file: %+v", sum)
	}

	// Those before the one that was let pass go, too. What they miss is still missing.
	file(16)
	file(17)
	b.mustRun()
	all, err = b.store.Batches(t.Context(), issuance.BatchFilter{})
	b.must(err)
	b.must(b.store.DecideBatch(t.Context(), all[len(all)-1], issuance.BatchAccepted, issuance.Why{Operator: "anna", Reason: "urgent"}))
	if sum := b.mustRun(); sum.Released != 1 {
		t.Errorf("summary %+v", sum)
	}
	if got, want := reason(16), "was held for a missing file; sequence 17, which is later, was let pass"; got != want {
		t.Errorf("16 was taken because %q, want %q", got, want)
	}
}

// TestNoMoreStrict: a file that is held does not wait for ever because its source
// has stopped holding files.
func TestNoMoreStrict(t *testing.T) {
	b := newBench(t)
	b.source().Sequence = intake.SequenceStrict
	file := func(n int64) {
		b.drops(b.generate(fmt.Sprintf("cards-%d.csv", n), n,
			sample.Options{Rows: 5, Seed: uint64(n), Prefix: fmt.Sprintf("f%d", n)}))
	}
	file(1)
	file(3)
	file(6)
	if sum := b.mustRun(); sum.Held != 2 {
		t.Fatalf("summary %+v", sum)
	}
	b.source().Sequence = intake.SequenceWarn
	if sum := b.mustRun(); sum.Released != 0 {
		t.Errorf("nothing has come: %+v", sum)
	}
	file(2)
	if sum := b.mustRun(); sum.Accepted != 1 || sum.Released != 1 {
		t.Errorf("the missing file has come: %+v", sum)
	}
	file(7)
	if sum := b.mustRun(); sum.Accepted != 1 || sum.Released != 1 {
		t.Errorf("a later file was let pass: %+v", sum)
	}
}

func TestBusinessDates(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris") // 23:00 there, still the first of March
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{"2026-02-26": false, "2026-02-27": true, "2026-03-01": true, "2026-03-02": true, "2026-03-03": false, "2206-03-01": false}
	for date, good := range tests {
		b := newBench(t)
		b.source().Location, b.source().BusinessDates = paris, &intake.DateRange{Back: 2, Ahead: 1}
		g := b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1})
		g.control.BusinessDate = date
		b.drops(g)
		b.mustRun()
		batch := b.only()
		if good != (batch.State == issuance.BatchAccepted) || !good && batch.Code != issuance.BusinessDateRange {
			t.Errorf("%s: %s %s %s", date, batch.State, batch.Code, batch.Reason)
		}
		if !good && !strings.Contains(batch.Reason, "2026-02-27 to 2026-03-02") {
			t.Errorf("%s: the reason is %q", date, batch.Reason)
		}
	}
	b := newBench(t) // an hour later it is tomorrow in Paris
	b.cfg.Now = func() time.Time { return night.Add(90 * time.Minute) }
	b.source().Location, b.source().BusinessDates = paris, &intake.DateRange{}
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1})
	g.control.BusinessDate = "2026-03-02"
	b.drops(g)
	b.mustRun()
	if b.only().State != issuance.BatchAccepted {
		t.Errorf("today in Paris is refused: %s", b.only().Reason)
	}
}

func TestNilReturnsAreNoRepeats(t *testing.T) {
	b := newBench(t)
	for n := range int64(3) {
		b.drops(b.generate(fmt.Sprintf("cards-%d.csv", n+1), n+1, sample.Options{Seed: 1}))
		if sum := b.mustRun(); sum.Accepted != 1 {
			t.Errorf("nil return %d: %+v", n+1, sum)
		}
	}
}

func TestAnOrderAgainInAnotherFile(t *testing.T) {
	b := newBench(t)
	first := b.generate("cards-1.csv", 1, sample.Options{Rows: 10, Seed: 1})
	b.drops(first)
	b.mustRun()
	// The same rows with one more: nine repeats... all ten, and one new order.
	again := b.generate("cards-2.csv", 2, sample.Options{Rows: 11, Seed: 1})
	b.drops(again)
	sum := b.mustRun()
	if sum.Duplicate != 10 || sum.Ready != 1 {
		t.Errorf("identical repeats: %+v", sum)
	}
	conflict := b.generate("cards-3.csv", 3, sample.Options{Rows: 10, Seed: 99})
	b.drops(conflict)
	if sum := b.mustRun(); sum.Rejected != 10 || sum.Ready != 0 {
		t.Errorf("other content under used order_ids: %+v", sum)
	}
	all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
	b.must(err)
	for e, err := range b.store.RowErrors(t.Context(), all[2].No) {
		b.must(err)
		if e.Code != issuance.OrderConflict || !strings.Contains(e.Text, "cards-1.csv line ") {
			t.Errorf("line %d: %s %q does not name the first use", e.Line, e.Code, e.Text)
		}
	}
}

func TestAcceptancePolicies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		accept intake.Accept
		share  float64
		want   issuance.BatchState
	}{
		{"rows", intake.AcceptRows, 1, issuance.BatchAccepted},
		{"below the share", intake.AcceptRows, 0.11, issuance.BatchAccepted},
		{"above the share", intake.AcceptRows, 0.09, issuance.BatchRefused},
		{"exactly the share", intake.AcceptRows, 0.1, issuance.BatchAccepted},
		{"all or nothing", intake.AllOrNothing, 1, issuance.BatchRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.source().Accept, b.source().MaxRejects = tt.accept, tt.share
			b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 100, Seed: 1, BadEvery: 10}))
			b.mustRun()
			batch := b.only()
			if batch.State != tt.want {
				t.Fatalf("the batch is %s %s", batch.State, batch.Code)
			}
			named := 0
			for _, err := range b.store.RowErrors(t.Context(), batch.No) {
				b.must(err)
				named++
			}
			if named < 10 {
				t.Errorf("%d row errors are kept for the receipt, want all 10", named)
			}
		})
	}
}

func TestIncompleteFilesAreLeftAlone(t *testing.T) {
	b := newBench(t)
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1})
	b.write("cards-1.csv", g.content)
	b.write("cards-2.csv.ctl", []byte("{}"))   // announces nothing that is there
	b.write(".cards-3.csv", g.content)         // hidden: being uploaded
	b.write("notes.txt", []byte("not for us")) // another pattern
	if diff := cmp.Diff(intake.Summary{}, b.mustRun()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if got := b.files("drop"); len(got) != 4 {
		t.Errorf("the drop now has %v", got)
	}
}

func TestAnUnreadableControlFileRefuses(t *testing.T) {
	b := newBench(t)
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1})
	b.write("cards-1.csv", g.content)
	b.write("cards-1.csv.ctl", []byte(`{"file": "cards-1.csv"`))
	b.mustRun()
	if batch := b.only(); batch.Code != issuance.ControlInvalid {
		t.Errorf("the batch is %s %s", batch.State, batch.Code)
	}
}

func TestAFileNeverReplacesAnotherInTheQuarantine(t *testing.T) {
	b := newBench(t)
	for range 2 {
		g := b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1})
		g.control.Rows++
		b.drops(g)
		b.mustRun()
	}
	all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
	b.must(err)
	want := []string{all[1].ID + "_cards-1.csv", all[1].ID + "_cards-1.csv.ctl", "cards-1.csv", "cards-1.csv.ctl"}
	if diff := cmp.Diff(want, b.files("quarantine")); diff != "" {
		t.Errorf("quarantine (-want +got):\n%s", diff)
	}
	if all[0].Archived != "quarantine/cards-1.csv" || all[1].Archived != "quarantine/"+want[0] {
		t.Errorf("recorded as %s and %s", all[0].Archived, all[1].Archived)
	}
}

func TestQuietFilesAreTakenWhenTheyRest(t *testing.T) {
	b := newBench(t)
	b.source().Completion = intake.Completion{Observations: 2}
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 50, Seed: 1})
	half := len(g.content) / 2
	b.write("cards-1.csv", g.content[:half])
	if sum := b.mustRun(); sum.Files != 0 {
		t.Fatalf("taken at first sight: %+v", sum)
	}
	b.write("cards-1.csv", g.content) // still growing
	if sum := b.mustRun(); sum.Files != 0 {
		t.Fatalf("taken while it grew: %+v", sum)
	}
	if sum := b.mustRun(); sum.Accepted != 1 || sum.Ready != 50 {
		t.Fatalf("not taken at rest: %+v", sum)
	}
	if batch := b.only(); batch.Control != nil || batch.BusinessDate != "2026-03-01" {
		t.Errorf("business date %s", batch.BusinessDate)
	}
	b.write("again.csv", g.content)
	b.mustRun()
	if sum := b.mustRun(); sum.Refused != 1 {
		t.Errorf("the same content again: %+v", sum)
	}
}

func TestANilReturnIsTaken(t *testing.T) {
	b := newBench(t)
	b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 0, Seed: 1}))
	if sum := b.mustRun(); sum.Accepted != 1 {
		t.Errorf("zero rows with a control file that says so: %+v", sum)
	}
}

func TestOneBadSourceDoesNotStopTheOthers(t *testing.T) {
	b := newBench(t)
	broken := *b.source()
	broken.Name, broken.Directory = "broken", "no-such-directory"
	b.cfg.Sources = []intake.Source{broken, *b.source()}
	b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1}))
	sum, err := b.run()
	if err == nil || !strings.Contains(err.Error(), "source broken") {
		t.Errorf("the broken source is not reported: %v", err)
	}
	if sum.Accepted != 1 {
		t.Errorf("the other source was not worked: %+v", sum)
	}
}

// A line break cannot stand in a path of ours, and a name too long for its
// place in the archive could never be moved there.
func TestAFileWhoseNameCannotBeUsedStopsNoOther(t *testing.T) {
	b := newBench(t)
	for i, name := range []string{"a\nb.csv", "a" + strings.Repeat("n", 220) + ".csv"} {
		b.drops(b.generate(name, int64(7+i), sample.Options{Rows: 1, Seed: 7}))
	}
	for i := range int64(2) {
		b.drops(b.generate(fmt.Sprintf("cards-%d.csv", i), i+1, sample.Options{Rows: 5, Seed: uint64(i), Prefix: fmt.Sprint("o", i)}))
		if sum := b.mustRun(); sum.Accepted != 1 {
			t.Errorf("run %d: %+v, want one file accepted", i, sum)
		}
	}
	if n := strings.Count(b.logs.String(), `"level":"error"`); n != 4 {
		t.Errorf("%d errors logged for two files in two runs:\n%s", n, b.logs)
	}
}

// deniedDrop refuses to read some files.
type deniedDrop struct {
	intake.Drop
	denied string // part of their names
}

func (d deniedDrop) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if strings.Contains(name, d.denied) {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrPermission)
	}
	return d.Drop.Open(ctx, name)
}

func TestAFileThatMayNotBeReadStopsNoOther(t *testing.T) {
	for denied, code := range map[string]issuance.Code{
		"cards-1.csv.ctl": issuance.ControlInvalid,
		"cards-1.csv.2":   issuance.FileUnreadable, // the order file only, under its taken name
	} {
		t.Run(denied, func(t *testing.T) {
			b := newBench(t)
			b.source().Drop = deniedDrop{b.source().Drop, denied}
			for i := int64(1); i <= 2; i++ {
				b.drops(b.generate(fmt.Sprintf("cards-%d.csv", i), i, sample.Options{Rows: 5, Seed: uint64(i), Prefix: fmt.Sprint("o", i)}))
			}
			if sum := b.mustRun(); sum.Accepted != 1 || sum.Refused != 1 {
				t.Fatalf("%+v, want one file accepted and the other refused", sum)
			}
			all, err := b.store.Batches(t.Context(), issuance.BatchFilter{States: []issuance.BatchState{issuance.BatchRefused}})
			b.must(err)
			if len(all) != 1 || all[0].FileName != "cards-1.csv" || all[0].Code != code {
				t.Errorf("refused: %+v, want cards-1.csv with %s", all, code)
			}
			if left := b.files("quarantine"); len(left) != 2 {
				t.Errorf("the quarantine has %q", left)
			}
		})
	}
}

// In the archive a file and its control file are told to belong together by
// their names alone.
func TestAFileAndItsControlFileStayTogether(t *testing.T) {
	for _, taken := range []string{"cards-1.csv", "cards-1.csv.ctl"} {
		t.Run(taken, func(t *testing.T) {
			b := newBench(t)
			b.must(os.WriteFile(filepath.Join(b.dir, "archive", taken), []byte("another's"), 0o600))
			b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 5, Seed: 1}))
			b.mustRun()
			id := b.only().ID
			want := []string{id + "_cards-1.csv", id + "_cards-1.csv.ctl", taken}
			if got := b.files("archive"); !slices.Equal(got, want) {
				t.Errorf("the archive has %q, want %q", got, want)
			}
			if where := b.only().Archived; where != "archive/"+want[0] {
				t.Errorf("recorded as %s", where)
			}
		})
	}
}

// The verdicts are committed and the originals safe in the drop: whatever is
// wrong with the archive must not cost the night.
func TestAnArchiveThatFailsDoesNotStopIntake(t *testing.T) {
	b := newBench(t)
	b.must(os.Remove(filepath.Join(b.dir, "archive")))
	for i := int64(1); i <= 3; i++ {
		b.drops(b.generate(fmt.Sprintf("cards-%d.csv", i), i, sample.Options{Rows: 5, Seed: uint64(i), Prefix: fmt.Sprint("o", i)}))
		if sum, err := b.run(); err == nil || sum.Accepted != 1 {
			t.Errorf("run %d without an archive: %+v, %v; want the file accepted and an error", i, sum, err)
		}
	}
	b.must(os.Mkdir(filepath.Join(b.dir, "archive"), 0o700))
	b.mustRun()
	if n := len(b.files("archive")); n != 6 {
		t.Errorf("%d files in the archive once it is there, want 6", n)
	}
}

// A backlog is taken in the order in which it was written, or each file of it
// would be reported for a gap.
func TestABacklogIsTakenInTheOrderOfItsNumbers(t *testing.T) {
	b := newBench(t)
	for i := int64(1); i <= 11; i++ {
		b.drops(b.generate(fmt.Sprintf("cards-%d.csv", i), i, sample.Options{Rows: 1, Seed: uint64(i), Prefix: fmt.Sprint("o", i)}))
	}
	b.mustRun()
	all, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
	b.must(err)
	for _, batch := range all {
		if batch.Code != "" {
			t.Errorf("%s: %s %s", batch.FileName, batch.Code, batch.Reason)
		}
	}
}

// The sender has counted the products of all rows, those included that we
// cannot make out: the file is proven whole, so a bad row is a bad row.
func TestARowThatCannotBeReadMayBeOfAnyProduct(t *testing.T) {
	for name, spoil := range map[string]func(content []byte) []byte{
		"a field too many": func(content []byte) []byte {
			return append(bytes.TrimSuffix(content, []byte("\n")), ",more\n"...)
		},
		"at the end, without a line end": func(content []byte) []byte {
			return append(bytes.TrimSuffix(content, []byte("\n")), ",more"...)
		},
		"an unknown product": func(content []byte) []byte {
			last := bytes.LastIndexByte(content[:len(content)-1], '\n')
			for _, id := range []string{sample.ProductVisa, sample.ProductMastercard} {
				content = append(content[:last:last], bytes.Replace(content[last:], []byte(id), []byte("OLD_PRODUCT"), 1)...)
			}
			return content
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			g := b.generate("cards-1.csv", 1, sample.Options{Rows: 20, Seed: 3})
			g.content = spoil(g.content)
			g.control.SHA256 = fmt.Sprintf("%x", sha256.Sum256(g.content))
			b.drops(g)
			sum := b.mustRun()
			if sum.Accepted != 1 || sum.Ready != 19 || sum.Rejected != 1 {
				t.Errorf("%+v, %s %s", sum, b.only().Code, b.only().Reason)
			}
		})
	}
}

func TestSelectedSources(t *testing.T) {
	b := newBench(t)
	if _, err := intake.New(b.cfg, "nobody"); err == nil {
		t.Error("an unknown source was accepted")
	}
	if _, err := intake.New(b.cfg, "core"); err != nil {
		t.Error(err)
	}
}

// Fail every call to the drop once, in turn, before it is done or after; then
// the process is another one. The file is taken once, whole, whatever failed.
func TestEveryCallToTheDropFailsOnce(t *testing.T) {
	for _, after := range []bool{false, true} {
		for failAt := 1; ; failAt++ {
			b := newBench(t)
			g := b.generate("cards-1.csv", 1, sample.Options{Rows: 60, Seed: 1, BadEvery: 20})
			b.drops(g)
			b.drop.failAt, b.drop.after = failAt, after
			_, err := b.run()
			reached := b.drop.calls >= failAt
			if reached && err == nil && !after {
				t.Errorf("call %d failed and nobody noticed", failAt)
			}
			b.drop.failAt = 0
			b.restart()
			b.mustRun()
			checkWhole(t, b, g, fmt.Sprintf("call %d, after %v", failAt, after))
			if !reached {
				if failAt < 8 {
					t.Errorf("only %d calls were made to fail", failAt-1)
				}
				break
			}
		}
	}
}

// Die at every call to the store, in turn; another process goes on.
func TestEveryCallToTheStoreFailsOnce(t *testing.T) {
	for failAt := 1; ; failAt++ {
		b := newBench(t)
		g := b.generate("cards-1.csv", 1, sample.Options{Rows: 300, Seed: 1, BadEvery: 50})
		b.drops(g)
		faulty := &faultyStore{Store: b.store, failAt: failAt}
		b.cfg.Store = faulty
		_, err := b.run()
		reached := faulty.calls >= failAt
		if reached && err == nil {
			t.Errorf("call %d failed and nobody noticed", failAt)
		}
		b.restart()
		b.mustRun()
		checkWhole(t, b, g, fmt.Sprintf("call %d", failAt))
		if !reached {
			if failAt < 10 {
				t.Errorf("only %d calls were made to fail", failAt-1)
			}
			return
		}
	}
}

func checkWhole(t *testing.T, b *bench, g *generated, when string) {
	t.Helper()
	batch := b.only()
	if batch.State != issuance.BatchAccepted {
		t.Fatalf("%s: the batch is %s %s", when, batch.State, batch.Code)
	}
	totals := b.totals(batch.No)
	bad := int64(len(g.file.Bad))
	if totals.State(issuance.Ready) != g.file.Rows-bad || totals.State(issuance.Rejected) != bad || totals.Rows != g.file.Rows {
		t.Errorf("%s: %v", when, totals.Terms())
	}
	if len(b.files("drop")) != 0 || len(b.files("archive")) != 2 {
		t.Errorf("%s: drop %v, archive %v", when, b.files("drop"), b.files("archive"))
	}
}

// faultyStore fails the n-th call, once. Half of them fail after they were done.
type faultyStore struct {
	intake.Store
	failAt int
	calls  int
}

func (s *faultyStore) fails() bool {
	s.calls++
	return s.calls == s.failAt
}

func call(s *faultyStore, do func() error) error {
	if !s.fails() {
		return do()
	}
	if s.failAt%2 == 0 {
		if err := do(); err != nil {
			return err
		}
	}
	return errInjected
}

func (s *faultyStore) ClaimFile(ctx context.Context, b issuance.Batch) (claimed issuance.Batch, err error) {
	err = call(s, func() error { claimed, err = s.Store.ClaimFile(ctx, b); return err })
	return claimed, err
}

func (s *faultyStore) AddOrders(ctx context.Context, no issuance.BatchNo, orders []issuance.NewOrder) error {
	return call(s, func() error { return s.Store.AddOrders(ctx, no, orders) })
}

func (s *faultyStore) DecideBatch(ctx context.Context, b issuance.Batch, to issuance.BatchState, why issuance.Why) error {
	return call(s, func() error { return s.Store.DecideBatch(ctx, b, to, why) })
}

func (s *faultyStore) MarkArchived(ctx context.Context, no issuance.BatchNo, where string) error {
	return call(s, func() error { return s.Store.MarkArchived(ctx, no, where) })
}

func (s *faultyStore) BatchTotals(ctx context.Context, no issuance.BatchNo) (t issuance.Totals, err error) {
	err = call(s, func() error { t, err = s.Store.BatchTotals(ctx, no); return err })
	return t, err
}

func (s *faultyStore) PriorFile(ctx context.Context, source string, by issuance.PriorKey) (b issuance.Batch, found bool, err error) {
	err = call(s, func() error { b, found, err = s.Store.PriorFile(ctx, source, by); return err })
	return b, found, err
}

func (s *faultyStore) LoadingBatches(ctx context.Context, source string) (all []issuance.Batch, err error) {
	err = call(s, func() error { all, err = s.Store.LoadingBatches(ctx, source); return err })
	return all, err
}

func (s *faultyStore) SetAside(ctx context.Context, no issuance.BatchNo, reason string) error {
	return call(s, func() error { return s.Store.SetAside(ctx, no, reason) })
}

func (s *faultyStore) Observe(ctx context.Context, source string, seen []issuance.Observation) (times map[string]issuance.Sighting, err error) {
	err = call(s, func() error { times, err = s.Store.Observe(ctx, source, seen); return err })
	return times, err
}

// Rows arrive in the store in the order of the file, whichever worker was
// quicker: the first of two equal order_ids is the one that counts.
func TestTheFirstOfTwoEqualOrdersCounts(t *testing.T) {
	b := newBench(t)
	b.cfg.Workers = 8
	g := b.generate("cards-1.csv", 1, sample.Options{Rows: 3000, Seed: 1, RepeatEvery: 3})
	b.drops(g)
	b.mustRun()
	var duplicates []int64
	for _, o := range b.orders(b.only().No) {
		if o.State == issuance.Duplicate {
			duplicates = append(duplicates, o.Ref.Row())
		}
	}
	var want []int64
	for row := range g.file.Repeats {
		want = append(want, row)
	}
	slices.Sort(want)
	if !slices.Equal(duplicates, want) {
		t.Errorf("%d duplicates, want %d, or others", len(duplicates), len(want))
	}
}
