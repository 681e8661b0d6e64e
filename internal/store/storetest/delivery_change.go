package storetest

import "cardbatch/internal/issuance"

func renamed(w *world) {
	plan := func(name string) issuance.Delivery {
		d, err := w.s.PlanDelivery(w.ctx(), issuance.Delivery{Kind: issuance.DeliverReceipt, IssuerID: bank, Revision: 1,
			Destination: "reports", Name: name})
		w.must(err)
		return d
	}
	first, second := plan("a.receipt.csv"), plan("b.receipt.csv")
	w.wantErr(w.s.RenameDelivery(w.ctx(), first.ID, 2, second.Name), issuance.ErrNameTaken)
	w.must(w.s.RenameDelivery(w.ctx(), first.ID, 2, "a.receipt.r2.csv"))
	w.wantErr(w.s.RenameDelivery(w.ctx(), 99, 2, "c.csv"), issuance.ErrNotFound)
	w.must(w.s.MarkDelivered(w.ctx(), second.ID, 1, 1, "sum"))
	w.wantErr(w.s.RenameDelivery(w.ctx(), second.ID, 2, "c.csv"), issuance.ErrOutOfState)
	first.Revision, first.Name = 2, "a.receipt.r2.csv"
	pending, err := w.s.PendingDeliveries(w.ctx())
	w.must(err)
	w.equal(pending, []issuance.Delivery{first})
}

func covered(w *world) {
	d, err := w.s.PlanDelivery(w.ctx(), issuance.Delivery{Kind: issuance.DeliverReconciliation, IssuerID: bank, Revision: 1,
		Destination: "reports", Name: "a.reconciliation.csv", UpToEvent: 5})
	w.must(err)
	for _, step := range []struct{ upTo, want int64 }{{9, 9}, {7, 9}} {
		w.must(w.s.CoverDeliveries(w.ctx(), []int64{d.ID}, step.upTo))
		all, err := w.s.Deliveries(w.ctx(), issuance.DeliveryFilter{})
		w.must(err)
		w.equal(all[0].UpToEvent, step.want)
	}
}
