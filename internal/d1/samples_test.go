package d1_test

import (
	"os"
	"path/filepath"
	"testing"

	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
)

// The sample notifications are what we say D1 sends: each must be understood in full.
func TestSampleNotifications(t *testing.T) {
	want := map[string][]issuance.ProductionStatus{
		"in-production.json": {issuance.CardProdOngoing, issuance.DataException},
		"shipped.json":       {issuance.CardShipped},
	}
	files, err := filepath.Glob("../../samples/notifications/*.json")
	if err != nil || len(files) != len(want) {
		t.Fatalf("found %d samples, want %d; error %v", len(files), len(want), err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		operations, err := d1.ParseOperations(body)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		statuses := want[filepath.Base(file)]
		if len(operations) != len(statuses) {
			t.Errorf("%s has %d operations, want %d", filepath.Base(file), len(operations), len(statuses))
			continue
		}
		for i, op := range operations {
			if op.Production != statuses[i] || !op.Production.Known() || op.IssuerRequestID == "" || op.CardID == "" || op.StartTime.IsZero() {
				t.Errorf("%s: operation %d is not understood in full: %+v", filepath.Base(file), i, op)
			}
		}
	}
}
