package d1_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
)

const shippedBody = `{"operations":[{
	"operationId": "op-1", "operation": "PRODUCE", "status": "SUCCESSFUL", "cardId": "card-1",
	"startTime": "2026-03-01T22:15:03.492Z", "endTime": "2026-03-03T16:00:00+01:00",
	"issuerRequestId": "ord-1", "inputFileName": "n/a", "message": "ignored", "unheard": {"of": [1, null]},
	"details": {
		"status": "CARD_SHIPPED", "reason": "on time", "dueDate": "2026-03-03", "productionSite": "SITE-1",
		"issuerRequestId": "ord-other", "consumerId": "ignored",
		"shipment": {"carrier": "usps-iv-api", "trackingNumber": "9400000000000000000000", "status": "InTransit",
			"message": "on its way", "trackingUrl": "https://carrier.example/t?n=9400000000000000000000"}
	}}]}`

func TestParseOperations(t *testing.T) {
	t.Parallel()
	got, err := d1.ParseOperations([]byte(shippedBody))
	if err != nil {
		t.Fatal(err)
	}
	want := []issuance.Operation{{
		OperationID: "op-1", Operation: "PRODUCE", Status: "SUCCESSFUL", CardID: "card-1", IssuerRequestID: "ord-1", InputFileName: "n/a",
		StartTime:  time.Date(2026, 3, 1, 22, 15, 3, 492e6, time.UTC),
		EndTime:    time.Date(2026, 3, 3, 15, 0, 0, 0, time.UTC),
		Production: issuance.CardShipped, Reason: "on time", DueDate: "2026-03-03", Site: "SITE-1",
		Shipment: issuance.Shipment{
			Carrier: "usps-iv-api", TrackingNumber: "9400000000000000000000", Status: "InTransit",
			Message: "on its way", TrackingURL: "https://carrier.example/t?n=9400000000000000000000",
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestParseOperationsTolerates: what we do not understand hides nothing of
// what we do.
func TestParseOperationsTolerates(t *testing.T) {
	t.Parallel()
	op := func(change func(*issuance.Operation)) issuance.Operation {
		o := issuance.Operation{OperationID: "op-1"}
		if change != nil {
			change(&o)
		}
		return o
	}
	for body, want := range map[string]issuance.Operation{
		`{"operationId":"op-1"}`: op(nil),
		`{"operationId":"op-1","inputFileName":"","details":{"inputFileName":"f.txt"}}`: op(func(o *issuance.Operation) { o.InputFileName = "f.txt" }),
		`{"operationId":"op-1","details":null}`:                                         op(nil),
		`{"operationId":"op-1","details":"CARD_SHIPPED"}`:                               op(nil),
		`{"operationId":"op-1","details":{"shipment":[]}}`:                              op(nil),
		`{"operationId":"op-1","startTime":"yesterday"}`:                                op(nil),
		`{"operationId":"op-1","startTime":1740867303}`:                                 op(nil),
		`{"operationId":"op-1","cardId":{"x":1}}`:                                       op(nil),
		`{"operationId":"op-1","cardId":12}`:                                            op(func(o *issuance.Operation) { o.CardID = "12" }),
		`{"operationId":"op-1","cardId":" card-1\u0000\n"}`:                             op(func(o *issuance.Operation) { o.CardID = "card-1" }),
		`{"operationId":"op-1","details":{"issuerRequestId":"ord-1"}}`:                  op(func(o *issuance.Operation) { o.IssuerRequestID = "ord-1" }),
		`{"operationId":"op-1","issuerRequestId":"ord-1","details":{}}`:                 op(func(o *issuance.Operation) { o.IssuerRequestID = "ord-1" }),
		`{"operationId":"op-1","operation":"NEW","status":"NEWER"}`:                     op(func(o *issuance.Operation) { o.Operation, o.Status = "NEW", "NEWER" }),
		`{"operationId":"op-1","details":{"status":"CARD_PROD_NEW"}}`:                   op(func(o *issuance.Operation) { o.Production = "CARD_PROD_NEW" }),
		`{"operationId":"op-1","details":{"reason":"4111 1111 1111 1111 é"}}`:           op(func(o *issuance.Operation) { o.Reason = "[number] é" }),
		`{"operationId":"op-1","errorCode":"E","error":"4111111111111111"}`:             op(func(o *issuance.Operation) { o.ErrorCode, o.Error = "E", "[number]" }),
		`"op-1"`: {}, `null`: {}, `[]`: {}, `17`: {},
	} {
		got, err := d1.ParseOperations([]byte(`{"operations":[{"operationId":"first"},` + body + `]}`))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if diff := cmp.Diff([]issuance.Operation{{OperationID: "first"}, want}, got); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

func TestParseOperationsRefuses(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]error{
		``: d1.ErrNotJSON, `{`: d1.ErrNotJSON, `{"operations":[]} x`: d1.ErrNotJSON, "\x00": d1.ErrNotJSON, `<xml/>`: d1.ErrNotJSON,
		`{}`: d1.ErrNoOperations, `[]`: d1.ErrNoOperations, `null`: d1.ErrNoOperations, `"x"`: d1.ErrNoOperations,
		`{"operations":null}`: d1.ErrNoOperations, `{"operations":{}}`: d1.ErrNoOperations, `{"operations":"x"}`: d1.ErrNoOperations,
	} {
		if _, err := d1.ParseOperations([]byte(body)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
	if got, err := d1.ParseOperations([]byte(`{"operations":[]}`)); err != nil || len(got) != 0 {
		t.Errorf("an empty list: %v, %v", got, err)
	}
}

func TestParseOperationsReadsTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 22, 15, 3, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-03-01T22:15:03Z":           at,
		"2026-03-01T22:15:03.5Z":         at.Add(500 * time.Millisecond),
		"2026-03-01T22:15:03,5Z":         at.Add(500 * time.Millisecond),
		"2026-03-01T22:15:03.123456789Z": at.Add(123456789),
		"2026-03-01T23:15:03+01:00":      at,
		"2026-03-01T23:15:03+0100":       at,
		"2026-03-01T23:15:03.5+0100":     at.Add(500 * time.Millisecond),
		"2026-03-01T23:15:03+01":         at,
		"2026-03-01T22:15:03":            at,
		"2026-03-01 22:15:03":            at,
		"2026-03-01T22:15Z":              at.Truncate(time.Minute),
		"2026-03-01":                     at.Truncate(24 * time.Hour),
		"2026-13-01T22:15:03Z":           {},
		"01/03/2026":                     {},
		"":                               {},
	} {
		got, err := d1.ParseOperations([]byte(`{"operations":[{"endTime":"` + text + `"}]}`))
		if err != nil || !got[0].EndTime.Equal(want) || got[0].EndTime.Location() != time.UTC {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestParseOperationsBoundsTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 2000)
	got, err := d1.ParseOperations([]byte(`{"operations":[{"operationId":"` + long + `","details":{"reason":"` + long + `"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if op := got[0]; len(op.OperationID) != 128 || len(op.Reason) != 1024 || !utf8.ValidString(op.Reason) {
		t.Errorf("lengths %d and %d", len(op.OperationID), len(op.Reason))
	}
}

func FuzzParseOperations(f *testing.F) {
	f.Add([]byte(shippedBody))
	f.Add([]byte(`{"operations":[{"operationId":"op-1","details":{"shipment":{"trackingNumber":1e400}}},null,7]}`))
	f.Add([]byte(`{"operations":[]}`))
	f.Add([]byte("{\"operations\":[{\"cardId\":\"\xff\x00\",\"endTime\":\"2026-03-01T23:15:03+01\"}]}"))
	f.Add([]byte(`{"Operations":[{}],"operations":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		operations, err := d1.ParseOperations(body)
		if err != nil {
			if errors.Is(err, d1.ErrNotJSON) == json.Valid(body) {
				t.Fatalf("valid JSON: %v, but %v", json.Valid(body), err)
			}
			return
		}
		for _, op := range operations {
			for _, s := range []string{
				op.OperationID, op.CardID, op.IssuerRequestID, op.Status, string(op.Production), op.Reason, op.DueDate,
				op.Shipment.TrackingNumber, op.Shipment.TrackingURL, op.Shipment.Message, op.Error,
			} {
				if len(s) > 4096 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
					t.Fatalf("kept %q", s)
				}
			}
			if op.EndTime.Location() != time.UTC || op.EndTime.Year() > 9999 {
				t.Fatalf("kept the time %v", op.EndTime)
			}
		}
	})
}

func BenchmarkParseOperations(b *testing.B) {
	body := []byte(shippedBody)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d1.ParseOperations(body); err != nil {
			b.Fatal(err)
		}
	}
}
