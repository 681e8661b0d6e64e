package intake_test

import (
	"errors"
	"io"
	"testing"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile/sample"
)

// brokenSeal finds out at the end of a file that its signature is bad.
type brokenSeal struct{ io.Reader }

func (r brokenSeal) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = &issuance.FileError{Code: issuance.PGPSignatureInvalid, Text: "the signature does not fit"}
	}
	return n, err
}

// The receipt of a file that was tampered with says nothing of its rows.
func TestRowsBehindABrokenSealAreNotSpokenOf(t *testing.T) {
	b := newBench(t)
	b.source().Unwrap = func(r io.Reader) (io.Reader, error) { return brokenSeal{r}, nil }
	b.drops(b.generate("cards-1.csv", 1, sample.Options{Rows: 600, Seed: 1, BadEvery: 10}))
	b.mustRun()
	batch := b.only()
	if batch.State != issuance.BatchRefused || batch.Code != issuance.PGPSignatureInvalid {
		t.Fatalf("the batch is %s %s", batch.State, batch.Code)
	}
	for e, err := range b.store.RowErrors(t.Context(), batch.No) {
		b.must(err)
		t.Fatalf("line %d is spoken of", e.Line)
	}
}
