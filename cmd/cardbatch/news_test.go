package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store/storetest"
)

// What does not fit is shown by kind, and no more of it than asked for.
func TestNewsOf(t *testing.T) {
	s := storetest.New(t)
	ctx, issuer := t.Context(), "is_test_01"
	b, err := s.ClaimFile(ctx, issuance.Batch{Source: "s", IssuerID: issuer, FileName: "f.csv"})
	if err != nil {
		t.Fatal(err)
	}
	ref := issuance.NewRef(b.No, 1)
	order := issuance.NewOrder{Payload: []byte("sealed"), Order: issuance.Order{Ref: ref, Line: 2, IssuerID: issuer, OrderID: "ord-1",
		CardID: "card-1", ContentMAC: []byte{1}, State: issuance.Ready}}
	if err := s.AddOrders(ctx, b.No, []issuance.NewOrder{order}); err != nil {
		t.Fatal(err)
	}
	b.Rows = 1
	if err := s.DecideBatch(ctx, b, issuance.BatchAccepted, issuance.Why{Stage: "intake"}); err != nil {
		t.Fatal(err)
	}
	n := issuance.Notification{IssuerID: issuer, Digest: []byte{1}, ReceivedAt: time.Now()}
	for i, id := range []string{"ord-1", "ord-1", "ord-8", "ord-9"} {
		n.Operations = append(n.Operations, issuance.Operation{Operation: issuance.OperationProduce, OperationID: fmt.Sprint("op-", i),
			Status: "ODD", IssuerRequestID: id, Production: issuance.CardProdReady})
	}
	if _, err := s.ApplyNotification(ctx, n); err != nil {
		t.Fatal(err)
	}
	if err := s.HearOrders(ctx, issuer, "track", []issuance.Heard{{Ref: ref, Missing: true}}); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]string{
		9:  "taken twice ord-1 2, missing at D1 ord-1 1, no such order ord-8 1, no such order ord-9 1, unknown operation status ODD 4",
		-1: "", 0: "",
		1: "taken twice ord-1 2, missing at D1 ord-1 1, no such order ord-8 1, unknown operation status ODD 4",
	} {
		views, err := newsOf(ctx, s, issuer, limit, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range views {
			got = append(got, fmt.Sprintf("%s %s %d", v.Kind, v.What, v.Times))
		}
		if g := strings.Join(got, ", "); g != want {
			t.Errorf("got %s\nwant %s", g, want)
		}
	}
}
