package store_test

import (
	"errors"
	"fmt"
	"testing"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
)

// A full disk undoes what was being written and nothing else; with space, the
// store goes on without being opened anew.
func TestFullDisk(t *testing.T) {
	ctx := t.Context()
	path := string(storetest.SQLite(t))
	s, err := store.Open(ctx, store.Config{Path: path, MaxPages: 120})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // closed below
	if _, err := s.StartSession(ctx, "n"); err != nil {
		t.Fatal(err)
	}
	b, err := s.ClaimFile(ctx, issuance.Batch{Source: "src", IssuerID: "bank", FileName: "f"})
	if err != nil {
		t.Fatal(err)
	}
	stored := int64(0)
	for err == nil {
		err = s.AddOrders(ctx, b.No, []issuance.NewOrder{{
			Order:   issuance.Order{Ref: issuance.NewRef(b.No, stored+1), IssuerID: "bank", OrderID: fmt.Sprint(stored), State: issuance.Ready},
			Payload: make([]byte, 8000),
		}})
		if err == nil {
			stored++
		}
	}
	if !errors.Is(err, store.ErrFull) || stored == 0 {
		t.Fatalf("after %d rows: %v", stored, err)
	}
	if err := s.Balance(ctx); err != nil {
		t.Error(err)
	}
	if got, err := s.BatchTotals(ctx, b.No); err != nil || got.Rows != stored {
		t.Errorf("%d rows are there, want %d, error %v", got.Rows, stored, err)
	}
	if err := s.ResetBatch(ctx, b.No); err != nil { // which makes room
		t.Error(err)
	}
	err = s.AddOrders(ctx, b.No, []issuance.NewOrder{{
		Order:   issuance.Order{Ref: issuance.NewRef(b.No, 1), IssuerID: "bank", OrderID: "x", State: issuance.Ready},
		Payload: make([]byte, 8000),
	}})
	if err != nil {
		t.Errorf("with space: %v", err)
	}
}
