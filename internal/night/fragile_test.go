package night_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/store"
)

var errInjected = errors.New("injected")

// fault lets one call fail, once, or all from one on.
type fault struct {
	mu    sync.Mutex
	at    int    // counted from 1; 0: none
	only  string // the first of this name, instead
	after bool   // it is done, and its answer is lost
	death func() // called at the call; none is done from there on
	calls int
	name  string // of the call that failed
}

// begin counts a call, and reports whether it fails.
func (f *fault) begin(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.name != "" {
		return f.death != nil
	}
	if f.calls != f.at && f.only != name {
		return false
	}
	if f.name = name; f.death != nil {
		f.death()
	}
	return true
}

// get does a call that may fail.
func get[T any](f *fault, name string, call func() (T, error)) (T, error) {
	fails := f.begin(name)
	var zero T
	if fails && !f.after {
		return zero, errInjected
	}
	v, err := call()
	if fails && err == nil {
		return zero, errInjected
	}
	return v, err
}

func do(f *fault, name string, call func() error) error {
	_, err := get(f, name, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// each is get for a sequence, which fails at its beginning, or behind its first element.
func each[T any](f *fault, name string, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		fails := f.begin(name)
		var zero T
		if fails && !f.after {
			yield(zero, errInjected)
			return
		}
		for v, err := range all {
			if !yield(v, err) {
				return
			}
			if fails {
				yield(zero, errInjected)
				return
			}
		}
	}
}

// fragileStore is the store with every call of a stage failing at f's will.
// TestNightFaultsReachEveryCall looks that none is forgotten.
type fragileStore struct {
	*store.Store
	f *fault
}

func (s fragileStore) RecoverSessions(ctx context.Context, settle time.Duration) (int, error) {
	return get(s.f, "RecoverSessions", func() (int, error) { return s.Store.RecoverSessions(ctx, settle) })
}

func (s fragileStore) ClaimFile(ctx context.Context, b issuance.Batch) (issuance.Batch, error) {
	return get(s.f, "ClaimFile", func() (issuance.Batch, error) { return s.Store.ClaimFile(ctx, b) })
}

func (s fragileStore) LoadingBatches(ctx context.Context, source string) ([]issuance.Batch, error) {
	return get(s.f, "LoadingBatches", func() ([]issuance.Batch, error) { return s.Store.LoadingBatches(ctx, source) })
}

func (s fragileStore) Adopt(ctx context.Context, no issuance.BatchNo) error {
	return do(s.f, "Adopt", func() error { return s.Store.Adopt(ctx, no) })
}

func (s fragileStore) SetAside(ctx context.Context, no issuance.BatchNo, reason string) error {
	return do(s.f, "SetAside", func() error { return s.Store.SetAside(ctx, no, reason) })
}

func (s fragileStore) UnarchivedBatches(ctx context.Context, source string) ([]issuance.Batch, error) {
	return get(s.f, "UnarchivedBatches", func() ([]issuance.Batch, error) { return s.Store.UnarchivedBatches(ctx, source) })
}

func (s fragileStore) MarkArchived(ctx context.Context, no issuance.BatchNo, where string) error {
	return do(s.f, "MarkArchived", func() error { return s.Store.MarkArchived(ctx, no, where) })
}

func (s fragileStore) Observe(ctx context.Context, source string, seen []issuance.Observation) (map[string]issuance.Sighting, error) {
	return get(s.f, "Observe", func() (map[string]issuance.Sighting, error) { return s.Store.Observe(ctx, source, seen) })
}

func (s fragileStore) MarkReported(ctx context.Context, source string, names []string) error {
	return do(s.f, "MarkReported", func() error { return s.Store.MarkReported(ctx, source, names) })
}

func (s fragileStore) PriorFile(ctx context.Context, source string, by issuance.PriorKey) (b issuance.Batch, found bool, err error) {
	b, err = get(s.f, "PriorFile", func() (issuance.Batch, error) {
		b, found, err = s.Store.PriorFile(ctx, source, by)
		return b, err
	})
	return b, found && err == nil, err
}

func (s fragileStore) LastSequence(ctx context.Context, source string) (int64, error) {
	return get(s.f, "LastSequence", func() (int64, error) { return s.Store.LastSequence(ctx, source) })
}

func (s fragileStore) HeldFiles(ctx context.Context, source string) ([]issuance.Batch, error) {
	return get(s.f, "HeldFiles", func() ([]issuance.Batch, error) { return s.Store.HeldFiles(ctx, source) })
}

func (s fragileStore) AddOrders(ctx context.Context, no issuance.BatchNo, orders []issuance.NewOrder) error {
	return do(s.f, "AddOrders", func() error { return s.Store.AddOrders(ctx, no, orders) })
}

func (s fragileStore) AddChanges(ctx context.Context, no issuance.BatchNo, changes []issuance.NewChange) error {
	return do(s.f, "AddChanges", func() error { return s.Store.AddChanges(ctx, no, changes) })
}

func (s fragileStore) ChangeTotals(ctx context.Context, no issuance.BatchNo) (issuance.ChangeTotals, error) {
	return get(s.f, "ChangeTotals", func() (issuance.ChangeTotals, error) { return s.Store.ChangeTotals(ctx, no) })
}

func (s fragileStore) ChangesOfBatch(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.Change, error] {
	return each(s.f, "ChangesOfBatch", s.Store.ChangesOfBatch(ctx, no))
}

func (s fragileStore) ResetBatch(ctx context.Context, no issuance.BatchNo) error {
	return do(s.f, "ResetBatch", func() error { return s.Store.ResetBatch(ctx, no) })
}

func (s fragileStore) BatchTotals(ctx context.Context, no issuance.BatchNo) (issuance.Totals, error) {
	return get(s.f, "BatchTotals", func() (issuance.Totals, error) { return s.Store.BatchTotals(ctx, no) })
}

func (s fragileStore) DecideBatch(ctx context.Context, b issuance.Batch, to issuance.BatchState, why issuance.Why) error {
	return do(s.f, "DecideBatch", func() error { return s.Store.DecideBatch(ctx, b, to, why) })
}

func (s fragileStore) ClaimReady(ctx context.Context, issuerID, session string, most int) ([]issuance.Claim, error) {
	return get(s.f, "ClaimReady", func() ([]issuance.Claim, error) { return s.Store.ClaimReady(ctx, issuerID, session, most) })
}

func (s fragileStore) StillClaimed(ctx context.Context, session string, ref issuance.Ref, attempt int) (bool, error) {
	return get(s.f, "StillClaimed", func() (bool, error) { return s.Store.StillClaimed(ctx, session, ref, attempt) })
}

func (s fragileStore) ForsakeOrders(ctx context.Context, issuerID, session string, settle time.Duration) (int, error) {
	return get(s.f, "ForsakeOrders", func() (int, error) { return s.Store.ForsakeOrders(ctx, issuerID, session, settle) })
}

func (s fragileStore) RecordOutcomes(ctx context.Context, session string, outcomes []issuance.Outcome) error {
	return do(s.f, "RecordOutcomes", func() error { return s.Store.RecordOutcomes(ctx, session, outcomes) })
}

func (s fragileStore) Release(ctx context.Context, session string, refs []issuance.Ref) error {
	return do(s.f, "Release", func() error { return s.Store.Release(ctx, session, refs) })
}

func (s fragileStore) DueForTracking(ctx context.Context, issuerID string, silence time.Duration, most int) ([]issuance.Order, error) {
	return get(s.f, "DueForTracking", func() ([]issuance.Order, error) {
		return s.Store.DueForTracking(ctx, issuerID, silence, most)
	})
}

func (s fragileStore) HearOrders(ctx context.Context, issuerID, stage string, heard []issuance.Heard) error {
	return do(s.f, "HearOrders", func() error { return s.Store.HearOrders(ctx, issuerID, stage, heard) })
}

func (s fragileStore) ApplyParked(ctx context.Context, issuerID string) (int, error) {
	return get(s.f, "ApplyParked", func() (int, error) { return s.Store.ApplyParked(ctx, issuerID) })
}

func (s fragileStore) TakeAllowance(ctx context.Context, name, day string, n, limit int) (int, error) {
	return get(s.f, "TakeAllowance", func() (int, error) { return s.Store.TakeAllowance(ctx, name, day, n, limit) })
}

func (s fragileStore) ReturnAllowance(ctx context.Context, name, day string, n int) error {
	return do(s.f, "ReturnAllowance", func() error { return s.Store.ReturnAllowance(ctx, name, day, n) })
}

func (s fragileStore) DecideUnknown(ctx context.Context, outcomes []issuance.Outcome) error {
	return do(s.f, "DecideUnknown", func() error { return s.Store.DecideUnknown(ctx, outcomes) })
}

func (s fragileStore) ApplyNotification(ctx context.Context, n issuance.Notification) (issuance.Applied, error) {
	return get(s.f, "ApplyNotification", func() (issuance.Applied, error) { return s.Store.ApplyNotification(ctx, n) })
}

func (s fragileStore) AdvanceBatches(ctx context.Context) (settled, closed int, err error) {
	err = do(s.f, "AdvanceBatches", func() error {
		settled, closed, err = s.Store.AdvanceBatches(ctx)
		return err
	})
	return settled, closed, err
}

func (s fragileStore) Batches(ctx context.Context, filter issuance.BatchFilter) ([]issuance.Batch, error) {
	return get(s.f, "Batches", func() ([]issuance.Batch, error) { return s.Store.Batches(ctx, filter) })
}

func (s fragileStore) BatchByNo(ctx context.Context, no issuance.BatchNo) (issuance.Batch, error) {
	return get(s.f, "BatchByNo", func() (issuance.Batch, error) { return s.Store.BatchByNo(ctx, no) })
}

func (s fragileStore) OrdersOfBatch(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.Order, error] {
	return each(s.f, "OrdersOfBatch", s.Store.OrdersOfBatch(ctx, no))
}

func (s fragileStore) RowErrors(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.RowError, error] {
	return each(s.f, "RowErrors", s.Store.RowErrors(ctx, no))
}

func (s fragileStore) ProductTotals(ctx context.Context, no issuance.BatchNo) (map[string]issuance.Totals, error) {
	return get(s.f, "ProductTotals", func() (map[string]issuance.Totals, error) { return s.Store.ProductTotals(ctx, no) })
}

func (s fragileStore) LastEventID(ctx context.Context) (int64, error) {
	return get(s.f, "LastEventID", func() (int64, error) { return s.Store.LastEventID(ctx) })
}

func (s fragileStore) ChangedBatches(ctx context.Context, after, upTo int64) (map[issuance.BatchNo]int64, error) {
	return get(s.f, "ChangedBatches", func() (map[issuance.BatchNo]int64, error) { return s.Store.ChangedBatches(ctx, after, upTo) })
}

func (s fragileStore) ChangedOrders(ctx context.Context, issuerID string, after, upTo int64) iter.Seq2[issuance.Order, error] {
	return each(s.f, "ChangedOrders", s.Store.ChangedOrders(ctx, issuerID, after, upTo))
}

func (s fragileStore) Deliveries(ctx context.Context, filter issuance.DeliveryFilter) ([]issuance.Delivery, error) {
	return get(s.f, "Deliveries", func() ([]issuance.Delivery, error) { return s.Store.Deliveries(ctx, filter) })
}

func (s fragileStore) PlanDelivery(ctx context.Context, d issuance.Delivery) (issuance.Delivery, error) {
	return get(s.f, "PlanDelivery", func() (issuance.Delivery, error) { return s.Store.PlanDelivery(ctx, d) })
}

func (s fragileStore) RenameDelivery(ctx context.Context, id int64, revision int, name string) error {
	return do(s.f, "RenameDelivery", func() error { return s.Store.RenameDelivery(ctx, id, revision, name) })
}

func (s fragileStore) CoverDeliveries(ctx context.Context, ids []int64, upTo int64) error {
	return do(s.f, "CoverDeliveries", func() error { return s.Store.CoverDeliveries(ctx, ids, upTo) })
}

func (s fragileStore) MarkDelivered(ctx context.Context, id, rows, size int64, sha256 string) error {
	return do(s.f, "MarkDelivered", func() error { return s.Store.MarkDelivered(ctx, id, rows, size, sha256) })
}

// fragileDrop is the drop, likewise. What fails is unavailable, and a read ends
// in the middle.
type fragileDrop struct {
	drop.Drop
	f *fault
}

func unavailable(err error) error {
	if errors.Is(err, errInjected) {
		return errors.Join(err, drop.ErrUnavailable)
	}
	return err
}

func (d fragileDrop) List(ctx context.Context, dir string) ([]drop.Entry, error) {
	v, err := get(d.f, "List", func() ([]drop.Entry, error) { return d.Drop.List(ctx, dir) })
	return v, unavailable(err)
}

func (d fragileDrop) Stat(ctx context.Context, name string) (drop.Entry, error) {
	v, err := get(d.f, "Stat", func() (drop.Entry, error) { return d.Drop.Stat(ctx, name) })
	return v, unavailable(err)
}

func (d fragileDrop) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if d.f.begin("Open") {
		return nil, unavailable(errInjected)
	}
	r, err := d.Drop.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &fragileReader{r, d.f}, nil
}

func (d fragileDrop) Rename(ctx context.Context, from, to string) error {
	return unavailable(do(d.f, "Rename", func() error { return d.Drop.Rename(ctx, from, to) }))
}

func (d fragileDrop) Put(ctx context.Context, name string, content func(io.Writer) error) (drop.Written, error) {
	v, err := get(d.f, "Put", func() (drop.Written, error) { return d.Drop.Put(ctx, name, content) })
	return v, unavailable(err)
}

type fragileReader struct {
	io.ReadCloser
	f *fault
}

func (r *fragileReader) Read(b []byte) (int, error) {
	if r.f.begin("Read") {
		return 0, unavailable(errInjected)
	}
	return r.ReadCloser.Read(b)
}

// fragileD1 is D1 behind a network that loses requests and answers.
type fragileD1 struct {
	d1 *blind
	f  *fault
}

func (d fragileD1) order(_ context.Context, claim issuance.Claim, body []byte) (string, error) {
	id, err := get(d.f, "D1 order", func() (string, error) {
		switch d.d1.nextFate() {
		case lostBefore:
			return "", errInjected
		case lostAfter:
			_, err := d.d1.order(claim, body)
			return "", errors.Join(err, errInjected)
		case notSent:
			return "", &retry.Error{Class: retry.NotDone, Code: retry.CodeTransport}
		default:
			return d.d1.order(claim, body)
		}
	})
	return id, unknown(err)
}

// ProductionStatus implements track's Issuer.
func (d fragileD1) ProductionStatus(_ context.Context, cardID, _ string) ([]issuance.Operation, error) {
	ops, err := get(d.f, "D1 status", func() ([]issuance.Operation, error) { return d.d1.productionStatus(cardID), nil })
	return ops, unknown(err)
}

func unknown(err error) error {
	if errors.Is(err, errInjected) {
		return &retry.Error{Class: retry.Unknown, Code: retry.CodeTransport, Err: err}
	}
	return err
}

func (s fragileStore) Suspects(ctx context.Context, filter issuance.SuspectFilter) iter.Seq2[issuance.Suspect, error] {
	return each(s.f, "Suspects", s.Store.Suspects(ctx, filter))
}

func (s fragileStore) SuspectsByRef(ctx context.Context, refs []issuance.Ref) ([]issuance.Suspect, error) {
	return get(s.f, "SuspectsByRef", func() ([]issuance.Suspect, error) { return s.Store.SuspectsByRef(ctx, refs) })
}

func (s fragileStore) ParkedOperations(ctx context.Context, issuerID string, before time.Time) iter.Seq2[issuance.Parked, error] {
	return each(s.f, "ParkedOperations", s.Store.ParkedOperations(ctx, issuerID, before))
}

func (s fragileStore) StrangeWords(ctx context.Context, issuerID string) ([]issuance.StrangeWord, error) {
	return get(s.f, "StrangeWords", func() ([]issuance.StrangeWord, error) { return s.Store.StrangeWords(ctx, issuerID) })
}
