package app

import (
	"context"
	"errors"
	"math"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
)

// reportStore fits the store to what reports ask for.
type reportStore struct{ *store.Store }

// LastEventOfBatch implements [report.Store].
func (s reportStore) LastEventOfBatch(ctx context.Context, no issuance.BatchNo) (int64, error) {
	last, err := s.ChangedBatches(ctx, 0, math.MaxInt64)
	return last[no], err
}

// MarkDelivered implements [report.Store].
func (s reportStore) MarkDelivered(ctx context.Context, d issuance.Delivery) error {
	return s.Store.MarkDelivered(ctx, d.ID, d.Rows, d.Size, d.SHA256)
}

// RenameDelivery implements [report.Store].
func (s reportStore) RenameDelivery(context.Context, int64, int, string) error {
	return errors.ErrUnsupported
}
