package report

import (
	"context"
	"io"

	"cardbatch/internal/issuance"
	"cardbatch/internal/reconcile"
)

// The columns of schemas/report-reconciliation.v1.table.json.
func reconciliationColumns() []string {
	return []string{
		"line", "order_id", "card_id", "consumer_id", "card_product_id", "issuance", "masked_pan",
		"disposition", "code", "reason", "operation_id", "attempts", "received_at", "submitted_at",
		"production_status", "production_at", "due_date", "production_site",
		"carrier", "tracking_number", "shipment_status",
	}
}

// The columns of schemas/report-status.v1.table.json: those of a
// reconciliation, after the file they are of.
func statusColumns() []string {
	return append([]string{"source_file", "batch"}, reconciliationColumns()...)
}

func addOrder(t *table, b *issuance.Batch, line *reconcile.Line) {
	o, p := line.Order, &line.Order.Production
	t.number(o.Line)
	t.id(o.OrderID)
	t.id(o.CardID)
	t.id(o.ConsumerID)
	t.id(o.ProductID)
	t.id(o.Issuance)
	t.text(o.MaskedPAN)
	t.plain(line.Disposition)
	t.id(string(line.Code))
	t.text(line.Reason)
	t.id(o.OperationID)
	t.number(int64(o.Attempts))
	t.time(b.ReceivedAt)
	t.time(o.SubmittedAt)
	t.id(string(p.Status))
	t.time(p.At)
	t.foreign(p.DueDate)
	t.foreign(p.Site)
	t.foreign(p.Shipment.Carrier)
	t.foreign(p.Shipment.TrackingNumber)
	t.foreign(p.Shipment.Status)
}

func (r *run) renderReconciliation(ctx context.Context, d *issuance.Delivery, b *issuance.Batch, w io.Writer) (Control, error) {
	t := newTable(w, reconciliationColumns())
	result, err := reconcile.Reconcile(b, r.store.OrdersOfBatch(ctx, b.No), func(line reconcile.Line) error {
		addOrder(t, b, &line)
		return t.end()
	})
	if err != nil {
		return Control{}, err
	}
	c := newControl(d, b)
	c.Rows, c.Totals = t.rows, result.Totals.Terms()
	for id, totals := range result.Products {
		c.Products[productKey(id)] = totals.Terms()
	}
	c.addBreaks(result.Breaks)
	return c, t.close()
}

// renderStatus lists orders with news. They are not all of any file, so the
// only thing to balance is the sum of the lines.
func (r *run) renderStatus(ctx context.Context, d *issuance.Delivery, w io.Writer) (Control, error) {
	t := newTable(w, statusColumns())
	var totals issuance.Totals
	products := map[string]*issuance.Totals{}
	for o, err := range r.store.ChangedOrders(ctx, d.IssuerID, d.AfterEvent, d.UpToEvent) {
		if err != nil {
			return Control{}, err
		}
		b, err := r.batch(ctx, o.Ref.Batch())
		if err != nil {
			return Control{}, err
		}
		line := reconcile.LineOf(&o)
		t.foreign(b.FileName)
		t.id(b.ID)
		addOrder(t, b, &line)
		if err := t.end(); err != nil {
			return Control{}, err
		}
		if products[o.ProductID] == nil {
			products[o.ProductID] = &issuance.Totals{}
		}
		for _, sum := range []*issuance.Totals{&totals, products[o.ProductID]} {
			sum.Rows++
			sum.AddOrder(&o)
		}
	}
	c := newControl(d, nil)
	c.Rows, c.Totals = t.rows, totals.Terms()
	for id, totals := range products {
		c.Products[productKey(id)] = totals.Terms()
	}
	c.addBreaks(totals.Breaks())
	return c, t.close()
}

func productKey(id string) string {
	if id == "" {
		return noProduct
	}
	return id
}
