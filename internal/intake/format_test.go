package intake_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/unwrap"
)

// bankLayout has other names, separators and bytes for everything.
func (b *bench) bankLayout() *orderfile.Layout {
	b.tb.Helper()
	columns := map[string]string{}
	for _, name := range orderfile.Schema().Names() {
		columns[name] = "F_" + strings.ToUpper(name)
	}
	l, err := orderfile.NewLayout(orderfile.Format{
		Delimiter: ";", Charset: orderfile.Windows1252, Columns: columns,
		Values: map[string]map[string]string{
			"issuance": {"N": "CREATION", "R": "RENEWAL"}, "card_product_id": {"17": sample.ProductVisa},
		},
	})
	b.must(err)
	return l
}

// addBank adds a source in the format of the bank, compressed by gzip.
func (b *bench) addBank(l *orderfile.Layout) *intake.Source {
	b.tb.Helper()
	src := b.cfg.Sources[0]
	src.Name, src.Pattern, src.Layout = "bank", "*.csv.gz", l
	src.Unwrap = func(r io.Reader) (io.Reader, error) {
		return unwrap.Reader(r, unwrap.Gzip, unwrap.Limits{MaxBytes: 1 << 20})
	}
	b.cfg.Sources = append(b.cfg.Sources, src)
	return &b.cfg.Sources[len(b.cfg.Sources)-1]
}

// translate writes a generated file anew, in the bank's format.
func (b *bench) translate(g *generated, l *orderfile.Layout) *generated {
	b.tb.Helper()
	d, err := orderfile.NewDecoder(bytes.NewReader(g.content), orderfile.Options{})
	b.must(err)
	var out bytes.Buffer
	e, err := orderfile.NewLayoutEncoder(&out, l)
	b.must(err)
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		b.must(err)
		b.must(e.Encode(rec.Row))
	}
	b.must(e.Flush())
	bank := *g
	bank.content = out.Bytes()
	return &bank
}

// compress finishes a file as the bank drops it: the control file is about the
// bytes that are dropped.
func (b *bench) compress(g *generated, name string, sequence int64) {
	b.tb.Helper()
	var out bytes.Buffer
	w, err := unwrap.Writer(&out, unwrap.Gzip, "cards.csv")
	b.must(err)
	_, err = w.Write(g.content)
	b.must(err)
	b.must(w.Close())
	sum := sha256.Sum256(out.Bytes())
	g.content = out.Bytes()
	g.control.File, g.control.Sequence, g.control.SHA256 = name, sequence, hex.EncodeToString(sum[:])
}

// TestSameOrdersInAnotherFormat: orders that come again in another format are
// identical repeats, not conflicts.
func TestSameOrdersInAnotherFormat(t *testing.T) {
	b := newBench(t)
	l := b.bankLayout()
	b.addBank(l)
	b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 300, Seed: 1, BadEvery: 50}))
	first := b.mustRun()
	if first.Accepted != 1 || first.Ready != 294 {
		t.Fatalf("summary %+v", first)
	}
	g := b.translate(b.generate("cards-1.csv", 1, sample.Options{Rows: 300, Seed: 1, BadEvery: 50}), l)
	b.compress(g, "bank-1.csv.gz", 1)
	b.drops(g)
	if sum := b.mustRun(); sum.Accepted != 1 || sum.Ready != 0 || sum.Duplicate != 294 || sum.Rejected != 6 {
		t.Fatalf("summary %+v", sum)
	}
	batches, err := b.store.Batches(t.Context(), issuance.BatchFilter{})
	b.must(err)
	for _, batch := range batches {
		if batch.Source == "bank" && (batch.Size != int64(len(g.content)) || batch.SHA256 != g.control.SHA256 || batch.Rows != 300) {
			t.Errorf("the batch is of %d bytes, %d rows, sum %s", batch.Size, batch.Rows, batch.SHA256)
		}
	}
}

// TestRefusedFilesOfAFormat: what is wrong around the rows refuses the file.
func TestRefusedFilesOfAFormat(t *testing.T) {
	tests := []struct {
		name  string
		code  issuance.Code
		text  string
		spoil func(b *bench, g *generated)
	}{
		{"not compressed", issuance.CompressionInvalid, "not compressed by gzip", func(_ *bench, g *generated) {
			g.control.File = "bank-1.csv.gz"
		}},
		{"cut", issuance.Truncated, "ends early", func(b *bench, g *generated) {
			b.compress(g, "bank-1.csv.gz", 1)
			g.content = g.content[:len(g.content)-30]
		}},
		{"bomb", issuance.TooLarge, "unpacks to more than 1048576 bytes", func(b *bench, g *generated) {
			g.content = bytes.Repeat(g.content, 5)
			b.compress(g, "bank-1.csv.gz", 1)
		}},
		{"header", issuance.HeaderInvalid, "column F_ORDER_ID (order_id) is missing", func(b *bench, g *generated) {
			g.content = bytes.Replace(g.content, []byte("F_ORDER_ID"), []byte("F_ORDER_NO"), 1)
			b.compress(g, "bank-1.csv.gz", 1)
		}},
		{"charset", issuance.CharsetInvalid, "is UTF-8 by its byte order mark, windows-1252 is agreed", func(b *bench, g *generated) {
			g.content = append([]byte("\xEF\xBB\xBF"), g.content...)
			b.compress(g, "bank-1.csv.gz", 1)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			l := b.bankLayout()
			b.addBank(l)
			g := b.translate(b.generate("cards-1.csv", 1, sample.Options{Rows: 1000, Seed: 3}), l)
			tt.spoil(b, g)
			b.drops(g)
			b.mustRun()
			if batch := b.only(); batch.State != issuance.BatchRefused || batch.Code != tt.code || !strings.Contains(batch.Reason, tt.text) {
				t.Errorf("the batch is %s %s (%s), want refused %s", batch.State, batch.Code, batch.Reason, tt.code)
			}
		})
	}
}

// TestRowErrorsInTheBanksWords: the receipt names our column and the bank's.
func TestRowErrorsInTheBanksWords(t *testing.T) {
	b := newBench(t)
	l := b.bankLayout()
	b.addBank(l)
	g := b.translate(b.generate("cards-1.csv", 1, sample.Options{Rows: 10, Seed: 3}), l)
	lines := strings.SplitAfter(string(g.content), "\n")
	lines[3] = strings.NewReplacer(";N;", ";X;", ";R;", ";X;", ";REPLACEMENT;", ";X;").Replace(lines[3])
	lines[5] = strings.Replace(lines[5], "ord-", "\x81rd-", 1)
	g.content = []byte(strings.Join(lines, ""))
	offset := fmt.Sprintf("offset %d,", strings.Index(string(g.content), "\x81"))
	b.compress(g, "bank-1.csv.gz", 1)
	g.control.Products = nil
	b.drops(g)
	if sum := b.mustRun(); sum.Rejected != 2 || sum.Ready != 8 {
		t.Fatalf("summary %+v, %s", sum, b.only().Reason)
	}
	var texts []string
	for e, err := range b.store.RowErrors(t.Context(), b.only().No) {
		b.must(err)
		texts = append(texts, string(e.Code)+" "+e.Column+" "+e.Text)
	}
	if len(texts) != 2 || !strings.HasPrefix(texts[0], "VALUE_NOT_ALLOWED issuance ") ||
		!strings.HasSuffix(texts[0], "(the file's column F_ISSUANCE, whose values are translated)") ||
		!strings.Contains(texts[1], "F_ORDER_ID: the byte at "+offset) {
		t.Errorf("errors: %q", texts)
	}
}
