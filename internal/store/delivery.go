package store

import (
	"context"
	"fmt"

	"cardbatch/internal/issuance"
)

const deliveryColumns = `id, kind, issuer_id, source, batch_no, business_date, revision, destination, name, after_event, up_to_event,
	planned_at, delivered_at, row_count, size, sha256`

func scanDelivery(row scanner) (d issuance.Delivery, err error) {
	var planned, delivered int64
	err = row.Scan(&d.ID, &d.Kind, &d.IssuerID, &d.Source, &d.Batch, &d.BusinessDate, &d.Revision, &d.Destination, &d.Name, &d.AfterEvent,
		&d.UpToEvent, &planned, &delivered, &d.Rows, &d.Size, &d.SHA256)
	d.PlannedAt, d.DeliveredAt = fromMicros(planned), fromMicros(delivered)
	return d, err
}

// PlanDelivery notes that a file is owed and returns it with its id. A name
// that the destination has already is ErrNameTaken.
func (s *Store) PlanDelivery(ctx context.Context, d issuance.Delivery) (issuance.Delivery, error) {
	err := s.write(ctx, "plan delivery", func(t *tx) error {
		d.PlannedAt = t.now
		_, err := one(t, []any{&d.ID}, `INSERT INTO delivery (kind, issuer_id, source, batch_no, business_date, revision, destination, name,
			after_event, up_to_event, planned_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id`,
			string(d.Kind), d.IssuerID, d.Source, int64(d.Batch), d.BusinessDate, d.Revision, d.Destination, d.Name,
			d.AfterEvent, d.UpToEvent, micros(d.PlannedAt))
		if isUnique(err) {
			return ErrNameTaken
		}
		return err
	})
	if err != nil {
		return issuance.Delivery{}, err
	}
	return d, nil
}

// MarkDelivered notes that a planned file is at its destination, complete.
func (s *Store) MarkDelivered(ctx context.Context, id, rows, size int64, sha256 string) error {
	return s.write(ctx, "mark delivered", func(t *tx) error {
		n, err := t.exec(`UPDATE delivery SET delivered_at = $1, row_count = $2, size = $3, sha256 = $4 WHERE id = $5`,
			micros(t.now), rows, size, sha256, id)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
}

// PendingDeliveries returns the files that are owed, oldest first.
func (s *Store) PendingDeliveries(ctx context.Context) ([]issuance.Delivery, error) {
	return s.Deliveries(ctx, issuance.DeliveryFilter{Pending: true})
}

// Deliveries returns the files that match a filter, oldest first.
func (s *Store) Deliveries(ctx context.Context, f issuance.DeliveryFilter) ([]issuance.Delivery, error) {
	where, args := "WHERE 1 = 1", []any(nil)
	and := func(column string, value any, wanted bool) {
		if wanted {
			args = append(args, value)
			where += fmt.Sprintf(" AND %s = $%d", column, len(args))
		}
	}
	and("kind", string(f.Kind), f.Kind != "")
	and("issuer_id", f.IssuerID, f.IssuerID != "")
	and("batch_no", int64(f.Batch), f.Batch != 0)
	and("business_date", f.BusinessDate, f.BusinessDate != "")
	if f.Pending {
		where += " AND delivered_at = 0"
	}
	found, err := list(s.reader(ctx), scanDelivery, `SELECT `+deliveryColumns+` FROM delivery `+where+` ORDER BY id`, args...)
	return found, wrap("list deliveries", err)
}

// LastDelivery returns the newest planned file of a kind for an issuer and,
// unless it is zero, a batch, and whether there is one.
func (s *Store) LastDelivery(ctx context.Context, kind issuance.DeliveryKind, issuerID string, batch issuance.BatchNo) (issuance.Delivery, bool, error) {
	found, err := list(s.reader(ctx), scanDelivery, `SELECT `+deliveryColumns+` FROM delivery
		WHERE kind = $1 AND issuer_id = $2 AND ($3 = 0 OR batch_no = $3) ORDER BY id DESC LIMIT 1`, string(kind), issuerID, int64(batch))
	if err != nil || len(found) == 0 {
		return issuance.Delivery{}, false, wrap("look for the last delivery", err)
	}
	return found[0], true, nil
}
