package report

import (
	"context"
	"encoding/json"
	"iter"
	"testing"
	"time"

	"cardbatch/internal/issuance"
)

// suspect makes up what the history of an order says: the fake keeps none of
// their states.
func (m *memory) suspect(o issuance.Order) issuance.Suspect {
	s := issuance.Suspect{Order: o, StateAt: m.batches[o.Ref.Batch()-1].ReceivedAt}
	if !o.SubmittedAt.IsZero() {
		s.StateAt = o.SubmittedAt
	}
	s.NewsAt = s.StateAt
	if len(o.OtherOperations) > 0 || o.NotFound > 0 {
		s.DoubtAt = s.StateAt
	}
	for _, e := range m.events {
		if e.Ref != o.Ref {
			continue
		}
		s.NewsAt = e.At
		if e.Kind == issuance.KindProduction && e.Code == "" {
			s.StatusAt = e.At
		}
	}
	return s
}

// Suspects returns all orders there are, as it may.
func (m *memory) Suspects(_ context.Context, f issuance.SuspectFilter) iter.Seq2[issuance.Suspect, error] {
	return func(yield func(issuance.Suspect, error) bool) {
		for _, b := range m.batches {
			for _, o := range m.orders[b.No] {
				if o.IssuerID == f.IssuerID && !yield(m.suspect(o), nil) {
					return
				}
			}
		}
		if err := m.fault("Suspects"); err != nil {
			yield(issuance.Suspect{}, err)
		}
	}
}

func (m *memory) SuspectsByRef(_ context.Context, refs []issuance.Ref) ([]issuance.Suspect, error) {
	var found []issuance.Suspect
	for _, ref := range refs {
		found = append(found, m.suspect(m.orders[ref.Batch()][ref.Row()-1]))
	}
	return found, m.fault("SuspectsByRef")
}

func (m *memory) ParkedOperations(_ context.Context, issuerID string, before time.Time) iter.Seq2[issuance.Parked, error] {
	return func(yield func(issuance.Parked, error) bool) {
		for _, p := range m.parked {
			if p.IssuerID == issuerID && p.ParkedAt.Before(before) && !yield(p, nil) {
				return
			}
		}
		if err := m.fault("ParkedOperations"); err != nil {
			yield(issuance.Parked{}, err)
		}
	}
}

func (m *memory) StrangeWords(context.Context, string) ([]issuance.StrangeWord, error) {
	return m.words, m.fault("StrangeWords")
}

func decode(t *testing.T, content []byte, c *Control) {
	t.Helper()
	if err := json.Unmarshal(content, c); err != nil {
		t.Fatal(err)
	}
}
