package report

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cardbatch/internal/issuance"
)

// plan adds to the store what is due and not planned yet. It sends nothing, so
// a dead destination does not keep anything from being owed.
func (r *run) plan(ctx context.Context) error {
	for _, kind := range r.opts.Kinds {
		var err error
		switch issuance.DeliveryKind(kind) {
		case issuance.DeliverReceipt:
			err = r.planReceipts(ctx)
		case issuance.DeliverReconciliation:
			err = r.planReconciliations(ctx)
		case issuance.DeliverStatus, issuance.DeliverExceptions:
			err = r.planDaily(ctx, issuance.DeliveryKind(kind))
		}
		if err != nil {
			return fmt.Errorf("report: plan %s: %w", kind, err)
		}
	}
	return nil
}

// edition identifies a series of editions: what is delivered about a batch to a place.
type edition struct {
	batch issuance.BatchNo
	place string
}

// ledger is what was planned so far of one kind.
type ledger struct {
	latest map[edition]*issuance.Delivery
	names  map[[2]string]bool // destination and name
}

func (r *run) ledger(ctx context.Context, kind issuance.DeliveryKind) (*ledger, error) {
	planned, err := r.store.Deliveries(ctx, issuance.DeliveryFilter{Kind: kind})
	if err != nil {
		return nil, err
	}
	l := &ledger{latest: map[edition]*issuance.Delivery{}, names: map[[2]string]bool{}}
	for i := range planned {
		l.latest[edition{planned[i].Batch, planned[i].Destination}] = &planned[i]
		l.names[[2]string{planned[i].Destination, planned[i].Name}] = true
	}
	return l, nil
}

func (r *run) planReceipts(ctx context.Context) error {
	l, err := r.ledger(ctx, issuance.DeliverReceipt)
	if err != nil {
		return err
	}
	for _, b := range r.batches {
		source := r.source(b.Source)
		if source == nil || b.State == issuance.BatchLoading {
			continue
		}
		places := []*Place{&source.Reports}
		// Beside the file means: once it is there, and named like it there.
		if b.State == issuance.BatchRefused && b.Archived != "" && source.Quarantine.Name != source.Reports.Name {
			places = append(places, &source.Quarantine)
		}
		for _, place := range places {
			if receiptDue(b, l.latest[edition{b.No, place.Name}]) {
				if err := r.planForBatch(ctx, l, issuance.DeliverReceipt, b, place, 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// receiptDue wants one receipt for each verdict. Opening a settled batch again
// is not a new verdict.
func receiptDue(b *issuance.Batch, last *issuance.Delivery) bool {
	switch {
	case last == nil:
		return true
	case last.DeliveredAt.IsZero() || !b.SettledAt.IsZero():
		return false
	default:
		return last.PlannedAt.Before(b.DecidedAt)
	}
}

func (r *run) planReconciliations(ctx context.Context) error {
	l, err := r.ledger(ctx, issuance.DeliverReconciliation)
	if err != nil {
		return err
	}
	upTo, err := r.store.LastEventID(ctx)
	if err != nil {
		return err
	}
	due := r.reconciliationsDue(l)
	changed, err := r.changedSince(ctx, due, upTo)
	if err != nil {
		return err
	}
	var unchanged []int64
	for _, d := range due {
		if d.last != nil && changed[d.batch.No] <= d.last.UpToEvent {
			unchanged = append(unchanged, d.last.ID)
			continue
		}
		if err := r.planForBatch(ctx, l, issuance.DeliverReconciliation, d.batch, d.place, upTo); err != nil {
			return err
		}
	}
	if len(unchanged) == 0 {
		return nil
	}
	// Batches that rest for days must not have us read days of events every minute.
	return r.store.CoverDeliveries(ctx, unchanged, upTo)
}

// candidate is a batch whose reconciliation is due if something has changed
// since the last edition, or if there is none.
type candidate struct {
	batch *issuance.Batch
	place *Place
	last  *issuance.Delivery
}

func (r *run) reconciliationsDue(l *ledger) []candidate {
	var due []candidate
	for _, b := range r.batches {
		source := r.source(b.Source)
		if source == nil {
			continue
		}
		last := l.latest[edition{b.No, source.Reports.Name}]
		if r.mayReconcile(b, last) {
			due = append(due, candidate{b, &source.Reports, last})
		}
	}
	return due
}

// changedSince asks the history once for all candidates, and not at all when
// none of them has an edition yet.
func (r *run) changedSince(ctx context.Context, due []candidate, upTo int64) (map[issuance.BatchNo]int64, error) {
	oldest := upTo
	for _, d := range due {
		if d.last != nil {
			oldest = min(oldest, d.last.UpToEvent)
		}
	}
	if oldest == upTo {
		return nil, nil
	}
	return r.store.ChangedBatches(ctx, oldest, upTo)
}

// mayReconcile decides by time and state alone, so that the history is asked
// only about batches that are still moving: of a year's closed ones, none is.
func (r *run) mayReconcile(b *issuance.Batch, last *issuance.Delivery) bool {
	waited := func(since time.Time) bool { return r.cfg.Now().Sub(since) >= r.cfg.ReviseEvery }
	switch {
	case last != nil && last.DeliveredAt.IsZero():
		return false // on its way, and it will show the rows as they are then
	case b.State == issuance.BatchClosed:
		// One planned at the very moment of closing may be older: the events tell.
		return last == nil || !last.PlannedAt.After(b.ClosedAt)
	case b.State == issuance.BatchSettled:
		return last == nil || waited(last.DeliveredAt)
	case b.State == issuance.BatchAccepted && last == nil:
		return waited(b.DecidedAt)
	case b.State == issuance.BatchAccepted:
		return waited(last.DeliveredAt)
	default:
		return false
	}
}

func (r *run) planForBatch(ctx context.Context, l *ledger, kind issuance.DeliveryKind,
	b *issuance.Batch, place *Place, upTo int64,
) error {
	d := issuance.Delivery{
		Kind: kind, IssuerID: b.IssuerID, Source: b.Source, Batch: b.No, BusinessDate: b.BusinessDate,
		Destination: place.Name, Revision: 1, UpToEvent: upTo,
	}
	if last := l.latest[edition{b.No, place.Name}]; last != nil {
		d.Revision = last.Revision + 1
	}
	for d.Name = r.fileName(&d, b); l.names[[2]string{d.Destination, d.Name}]; d.Name = r.fileName(&d, b) {
		d.Revision++ // an earlier file had the same name
	}
	d, err := r.store.PlanDelivery(ctx, d)
	if errors.Is(err, issuance.ErrNameTaken) {
		r.log.Warn().Str("stage", "report").Str("batch", b.ID).Str("file", d.Name).Msg("another run has just planned this report")
		return nil
	}
	if err != nil {
		return err
	}
	l.latest[edition{b.No, place.Name}] = &d
	l.names[[2]string{d.Destination, d.Name}] = true
	return nil
}

func (r *run) planDaily(ctx context.Context, kind issuance.DeliveryKind) error {
	for i := range r.cfg.Issuers {
		issuer := &r.cfg.Issuers[i]
		if kind == issuance.DeliverExceptions && issuer.Ageing == nil {
			continue
		}
		if err := r.planForIssuer(ctx, kind, issuer); err != nil {
			return err
		}
	}
	return nil
}

// planForIssuer continues where the last file of the kind ended. One of the same
// business date that is still on its way is the one this run wants.
func (r *run) planForIssuer(ctx context.Context, kind issuance.DeliveryKind, issuer *Issuer) error {
	planned, err := r.store.Deliveries(ctx, issuance.DeliveryFilter{Kind: kind, IssuerID: issuer.ID})
	if err != nil {
		return err
	}
	d := issuance.Delivery{
		Kind: kind, IssuerID: issuer.ID, BusinessDate: r.opts.BusinessDate,
		Destination: issuer.Reports.Name, Revision: 1,
	}
	for _, earlier := range planned {
		d.AfterEvent = max(d.AfterEvent, earlier.UpToEvent)
		if earlier.BusinessDate != d.BusinessDate {
			continue
		}
		if earlier.DeliveredAt.IsZero() {
			return nil
		}
		d.Revision = max(d.Revision, earlier.Revision+1)
	}
	if d.UpToEvent, err = r.store.LastEventID(ctx); err != nil {
		return err
	}
	d.UpToEvent = max(d.UpToEvent, d.AfterEvent)
	d.Name = r.fileName(&d, nil)
	_, err = r.store.PlanDelivery(ctx, d)
	if errors.Is(err, issuance.ErrNameTaken) {
		r.log.Warn().Str("stage", "report").Str("issuer", d.IssuerID).Str("file", d.Name).Msg("another run has just planned this report")
		return nil
	}
	return err
}

const csvEnding = ".csv"

// ofIssuer reports whether files of a kind are about an issuer as a whole.
func ofIssuer(kind issuance.DeliveryKind) bool {
	return kind == issuance.DeliverStatus || kind == issuance.DeliverExceptions
}

// fileName names a delivery. b is its batch, if it is about one.
func (s *Stage) fileName(d *issuance.Delivery, b *issuance.Batch) string {
	ending := csvEnding
	if place := s.place(d); place != nil {
		ending += place.suffix()
	}
	if ofIssuer(d.Kind) {
		return fmt.Sprintf("%s-%s-%s-%d%s", d.Kind, d.IssuerID, d.BusinessDate, d.Revision, ending)
	}
	of := b.FileName
	if source := s.source(d.Source); source != nil && d.Destination == source.Quarantine.Name && d.Destination != source.Reports.Name {
		of = b.Archived
	}
	name := stem(of) + "." + string(d.Kind)
	if d.Revision > 1 {
		name += fmt.Sprintf(".r%d", d.Revision)
	}
	return name + ending
}

// stem is the name of an order file without directory and ending.
func stem(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	for _, ending := range []string{".pgp", ".gz", ".zip", ".csv"} {
		if cut := len(name) - len(ending); cut > 0 && strings.EqualFold(name[cut:], ending) {
			name = name[:cut]
		}
	}
	return name
}
