package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/issuance"
	"cardbatch/internal/store/storetest"
)

func TestExceptions(t *testing.T) {
	st := storetest.SQLite(t).Open(t, nil)
	ctx := t.Context()
	if _, err := st.StartSession(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Issuers: []config.Issuer{{ID: "ISSUER0001"}, {ID: "ISSUER0002"}}}
	cfg.Issuers[0].Center.TimeZone.Location = time.UTC
	batch, err := st.ClaimFile(ctx, issuance.Batch{Source: "core", IssuerID: "ISSUER0001", FileName: "cards.csv"})
	if err != nil {
		t.Fatal(err)
	}
	session := batch.Session
	var orders []issuance.NewOrder
	for row := range int64(4) {
		orders = append(orders, issuance.NewOrder{Payload: []byte("x"), Order: issuance.Order{Ref: issuance.NewRef(batch.No, row+1), Line: row + 2,
			IssuerID: "ISSUER0001", OrderID: "ORD-" + string(rune('A'+row)), CardID: "card-" + string(rune('A'+row)), ProductID: "VISA", State: issuance.Ready}})
	}
	batch.Rows = 4
	if err := st.AddOrders(ctx, batch.No, orders); err != nil {
		t.Fatal(err)
	}
	if err := st.DecideBatch(ctx, batch, issuance.BatchAccepted, issuance.Why{}); err != nil {
		t.Fatal(err)
	}
	claims, err := st.ClaimReady(ctx, "ISSUER0001", session, 3)
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []issuance.Outcome
	for _, c := range claims {
		outcomes = append(outcomes, issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Refused, Code: "INVALID_FIELD", Reason: "no such packaging"})
	}
	if err := st.RecordOutcomes(ctx, session, outcomes); err != nil {
		t.Fatal(err)
	}
	cfg.Reports.Exceptions.EndedForDays = 1
	for limit, want := range map[int]int{0: 3, -1: 3, 2: 2, 9: 3} {
		views, err := listExceptions(context.Background(), st, cfg, &cfg.Issuers[0], limit)
		if err != nil || len(views) != want {
			t.Fatalf("limit %d: %d, %v", limit, len(views), err)
		}
		v := views[0]
		if v.Kind != "refused" || v.OrderID != "ORD-A" || v.Batch != batch.ID || v.Line != 2 || v.Disposition != "refused" || v.Code != "INVALID_FIELD" || v.Remedy == "" {
			t.Errorf("%+v", v)
		}
	}
	views, _ := listExceptions(ctx, st, cfg, &cfg.Issuers[0], 0)
	var b bytes.Buffer
	if err := writeExceptions(&b, views); err != nil || !strings.Contains(b.String(), "refused  ORD-B") {
		t.Errorf("%s %v", b.String(), err)
	}
}
