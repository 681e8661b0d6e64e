package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// memory is a store in memory, with the contract that the stage's interfaces
// state. Its values are copied in and out.
type memory struct {
	batches    []issuance.Batch
	orders     map[issuance.BatchNo][]issuance.Order
	changes    map[issuance.BatchNo][]issuance.Change
	rowErrors  map[issuance.BatchNo][]issuance.RowError
	events     []issuance.Event // ID is the place, from 1
	deliveries []issuance.Delivery
	parked     []issuance.Parked
	words      []issuance.StrangeWord
	fault      func(op string) error
	now        func() time.Time
}

func newMemory(now func() time.Time) *memory {
	return &memory{
		now:     now,
		changes: map[issuance.BatchNo][]issuance.Change{},
		orders:  map[issuance.BatchNo][]issuance.Order{}, rowErrors: map[issuance.BatchNo][]issuance.RowError{},
		fault: func(string) error { return nil },
	}
}

var _ Store = (*memory)(nil)

func (m *memory) addEvent(e issuance.Event) {
	e.ID = int64(len(m.events) + 1)
	m.events = append(m.events, e)
}

// transition changes the state of a batch as the store does.
func (m *memory) transition(no issuance.BatchNo, to issuance.BatchState, why issuance.Why) {
	b := &m.batches[no-1]
	e, err := b.Transition(to, why)
	if err != nil {
		panic(err)
	}
	m.addEvent(e)
}

// hear applies news of production to an order.
func (m *memory) hear(ref issuance.Ref, op issuance.Operation, at time.Time) {
	o := &m.orders[ref.Batch()][ref.Row()-1]
	events, err := o.Hear(op, issuance.Why{At: at, Stage: "notification"})
	if err != nil {
		panic(err)
	}
	for _, e := range events {
		m.addEvent(e)
	}
}

// AdvanceBatches leaves it to the tests when a batch settles.
func (m *memory) AdvanceBatches(context.Context) (settled, closed int, err error) {
	return 0, 0, m.fault("AdvanceBatches")
}

func (m *memory) Batches(_ context.Context, f issuance.BatchFilter) ([]issuance.Batch, error) {
	if f.Source != "" || f.BusinessDate != "" || f.Limit != 0 {
		return nil, errors.New("the fake does not filter")
	}
	var found []issuance.Batch
	for _, b := range m.batches {
		if (f.IssuerID == "" || b.IssuerID == f.IssuerID) && (f.States == nil || slices.Contains(f.States, b.State)) {
			found = append(found, b)
		}
	}
	return found, m.fault("Batches")
}

func (m *memory) BatchByNo(_ context.Context, no issuance.BatchNo) (issuance.Batch, error) {
	return m.batches[no-1], m.fault("BatchByNo")
}

func (m *memory) OrdersOfBatch(_ context.Context, no issuance.BatchNo) iter.Seq2[issuance.Order, error] {
	return func(yield func(issuance.Order, error) bool) {
		for _, o := range m.orders[no] {
			if !yield(o, nil) {
				return
			}
		}
		if err := m.fault("OrdersOfBatch"); err != nil {
			yield(issuance.Order{}, err)
		}
	}
}

func (m *memory) ProductTotals(_ context.Context, no issuance.BatchNo) (map[string]issuance.Totals, error) {
	products := map[string]issuance.Totals{}
	for _, o := range m.orders[no] {
		totals := products[o.ProductID]
		totals.Rows++
		totals.AddOrder(&o)
		products[o.ProductID] = totals
	}
	return products, m.fault("ProductTotals")
}

func (m *memory) ChangesOfBatch(_ context.Context, no issuance.BatchNo) iter.Seq2[issuance.Change, error] {
	return func(yield func(issuance.Change, error) bool) {
		for _, c := range m.changes[no] {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (m *memory) ChangeTotals(_ context.Context, no issuance.BatchNo) (totals issuance.ChangeTotals, err error) {
	for _, c := range m.changes[no] {
		totals.Add(c.State, 1)
	}
	return totals, nil
}

func (m *memory) RowErrors(_ context.Context, no issuance.BatchNo) iter.Seq2[issuance.RowError, error] {
	return func(yield func(issuance.RowError, error) bool) {
		for _, e := range m.rowErrors[no] {
			if !yield(e, nil) {
				return
			}
		}
		if err := m.fault("RowErrors"); err != nil {
			yield(issuance.RowError{}, err)
		}
	}
}

func (m *memory) LastSequence(_ context.Context, source string) (int64, error) {
	var last int64
	for _, b := range m.batches {
		if b.Source == source && b.Control != nil && b.State != issuance.BatchRefused && b.State != issuance.BatchLoading {
			last = max(last, b.Control.Sequence)
		}
	}
	return last, m.fault("LastSequence")
}

func (m *memory) LastEventID(context.Context) (int64, error) {
	return int64(len(m.events)), m.fault("LastEventID")
}

func (m *memory) ChangedBatches(_ context.Context, after, upTo int64) (map[issuance.BatchNo]int64, error) {
	last := map[issuance.BatchNo]int64{}
	for _, e := range m.events[after:upTo] {
		last[e.Batch] = e.ID
	}
	return last, m.fault("ChangedBatches")
}

func (m *memory) ChangedOrders(_ context.Context, issuerID string, after, upTo int64) iter.Seq2[issuance.Order, error] {
	return func(yield func(issuance.Order, error) bool) {
		refs := map[issuance.Ref]bool{}
		for _, e := range m.events[after:upTo] {
			if e.Kind == issuance.KindProduction || e.Kind == issuance.KindShipment {
				refs[e.Ref] = true
			}
		}
		for _, b := range m.batches {
			for _, o := range m.orders[b.No] {
				if refs[o.Ref] && o.IssuerID == issuerID && !yield(o, nil) {
					return
				}
			}
		}
		if err := m.fault("ChangedOrders"); err != nil {
			yield(issuance.Order{}, err)
		}
	}
}

func (m *memory) Deliveries(_ context.Context, f issuance.DeliveryFilter) ([]issuance.Delivery, error) {
	var found []issuance.Delivery
	for _, d := range m.deliveries {
		if (f.Kind == "" || f.Kind == d.Kind) && (f.IssuerID == "" || f.IssuerID == d.IssuerID) &&
			(f.Batch == 0 || f.Batch == d.Batch) && (f.BusinessDate == "" || f.BusinessDate == d.BusinessDate) &&
			(!f.Pending || d.DeliveredAt.IsZero()) {
			found = append(found, d)
		}
	}
	return found, m.fault("Deliveries")
}

func (m *memory) nameFree(id int64, destination, name string) error {
	for _, d := range m.deliveries {
		if d.ID != id && d.Destination == destination && d.Name == name {
			return fmt.Errorf("%s: %w", name, issuance.ErrNameTaken)
		}
	}
	return nil
}

func (m *memory) PlanDelivery(_ context.Context, d issuance.Delivery) (issuance.Delivery, error) {
	if err := m.nameFree(0, d.Destination, d.Name); err != nil {
		return d, err
	}
	if err := m.fault("PlanDelivery before"); err != nil {
		return d, err
	}
	d.ID, d.PlannedAt = int64(len(m.deliveries)+1), m.now()
	m.deliveries = append(m.deliveries, d)
	return d, m.fault("PlanDelivery")
}

func (m *memory) RenameDelivery(_ context.Context, id int64, revision int, name string) error {
	d := &m.deliveries[id-1]
	if err := m.nameFree(id, d.Destination, name); err != nil {
		return err
	}
	if err := m.fault("RenameDelivery before"); err != nil {
		return err
	}
	d.Revision, d.Name = revision, name
	return m.fault("RenameDelivery")
}

func (m *memory) CoverDeliveries(_ context.Context, ids []int64, upTo int64) error {
	for _, id := range ids {
		m.deliveries[id-1].UpToEvent = max(m.deliveries[id-1].UpToEvent, upTo)
	}
	return m.fault("CoverDeliveries")
}

func (m *memory) MarkDelivered(_ context.Context, id, rows, size int64, sha256 string) error {
	if err := m.fault("MarkDelivered before"); err != nil {
		return err
	}
	d := &m.deliveries[id-1]
	d.Rows, d.Size, d.SHA256, d.DeliveredAt = rows, size, sha256, m.now()
	return m.fault("MarkDelivered")
}

// faulty is a drop whose every Put can fail, before it does anything or after
// it has done everything.
type faulty struct {
	Drop
	fault func(op string) error
}

func (f *faulty) Put(ctx context.Context, name string, content func(io.Writer) error) (drop.Written, error) {
	if err := f.fault("Put before"); err != nil {
		return drop.Written{}, err
	}
	written, err := f.Drop.Put(ctx, name, content)
	if err == nil {
		err = f.fault("Put")
	}
	return written, err
}

func (f *faulty) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := f.fault("Open"); err != nil {
		return nil, err
	}
	return f.Drop.Open(ctx, name)
}
