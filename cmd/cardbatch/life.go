package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
	"cardbatch/internal/timeline"
)

// life reads all that is on record about an order row.
func life(ctx context.Context, st *store.Store, o issuance.Order) (l timeline.Life, err error) {
	l.Order = o
	if l.Batch, err = st.BatchByNo(ctx, o.Ref.Batch()); err != nil {
		return l, err
	}
	if l.Events, err = st.Events(ctx, o.Ref); err != nil {
		return l, err
	}
	if l.BatchEvents, err = st.BatchEvents(ctx, l.Batch.No); err != nil {
		return l, err
	}
	if l.Deliveries, err = st.Deliveries(ctx, issuance.DeliveryFilter{Batch: l.Batch.No}); err != nil {
		return l, err
	}
	if l.Changes, err = asked(ctx, st, o); err != nil {
		return l, err
	}
	status, err := st.Deliveries(ctx, issuance.DeliveryFilter{Kind: issuance.DeliverStatus, IssuerID: o.IssuerID})
	l.Deliveries = append(l.Deliveries, status...)
	return l, err
}

// entryView is a line of a life as JSON.
type entryView struct {
	At     time.Time  `json:"at"`
	SaidAt *time.Time `json:"said_at,omitempty"` // D1's own time
	Term   string     `json:"term"`
	Text   string     `json:"text"`
	Source string     `json:"source"`
}

func viewStory(s timeline.Story) []entryView {
	views := make([]entryView, len(s.Entries))
	for i, e := range s.Entries {
		views[i] = entryView{At: e.At, Term: e.Term, Text: e.Text, Source: e.Source}
		if !e.Said.IsZero() {
			views[i].SaidAt = &e.Said
		}
	}
	return views
}

// writeLife tells an order's life: what it is, where it stands, and day by day
// how it came there, in the issuer's time zone.
func writeLife(w io.Writer, l timeline.Life, s timeline.Story, zone *time.Location) error {
	o := &l.Order
	var b strings.Builder
	fmt.Fprintf(&b, "Order %s\n%s\n\n", printable(o.OrderID), printable(sentence(s.Now)))
	facts := newTable("", "")
	for _, f := range [][2]string{
		{"card", join(o.MaskedPAN, o.ProductID, o.Issuance, o.Priority)}, {"card id", o.CardID}, {"customer id", o.ConsumerID},
		{"batch", join(l.Batch.ID, "line "+thousands(o.Line))}, {"D1's operation", join(append([]string{o.OperationID}, o.OtherOperations...)...)},
		{"correlation id", o.CorrelationID}, {"center", o.Production.Site}, {"due at", o.Production.DueDate},
		{"follow it at", o.Production.Shipment.TrackingURL},
	} {
		if f[1] != "" {
			facts.add(f[0], f[1])
		}
	}
	_ = facts.write(&b) // a Builder takes everything
	day := ""
	for _, e := range s.Entries {
		at := e.At.In(zone)
		if d := at.Format("Monday 2 January 2006"); d != day {
			day = d
			fmt.Fprintf(&b, "\n%s (%s)\n", day, zone)
		}
		fmt.Fprintf(&b, "  %s  %s%s\n", at.Format(time.TimeOnly), printable(e.Text), told(e, zone))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// told says who told us, and of when, where it was not ourselves.
func told(e timeline.Entry, zone *time.Location) string {
	if e.Source == timeline.Us {
		return ""
	}
	if e.Said.IsZero() {
		return " (" + printable(e.Source) + ")"
	}
	return fmt.Sprintf(" (%s, of %s)", printable(e.Source), e.Said.In(zone).Format("2 January 2006 15:04:05"))
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	return strings.ToUpper(string(first)) + text[n:] + "."
}

func join(parts ...string) string {
	var given []string
	for _, p := range parts {
		if p != "" {
			given = append(given, p)
		}
	}
	return strings.Join(given, ", ")
}

// zoneOf is the time zone of an issuer's banking days, UTC for one that is no
// longer configured.
func (s *settings) zoneOf(issuerID string) (*time.Location, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, err
	}
	for _, i := range cfg.Issuers {
		if i.ID == issuerID {
			return cmp.Or(i.TimeZone.Location, time.UTC), nil
		}
	}
	return time.UTC, nil
}
