package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/rehearsal"
)

// standing is where orders stand at a moment, each list with those first that
// will stand there the longest.
type standing struct {
	waiting []string // with us
	early   []string // at D1, not yet in personalization
	made    []string // at D1, made or shipped
}

// askToCancel drops the cancel file, while the daemon is dead.
func (n *night) askToCancel(ctx context.Context) error {
	at, err := n.standing(ctx)
	if err != nil {
		return err
	}
	n.show.say("meanwhile, the bank drops a file of orders to cancel")
	return n.bank.askToCancel(at, n.share())
}

// askToRedirect drops the redirect file, while the daemon sends.
func (n *night) askToRedirect(ctx context.Context) error {
	at, err := n.standing(ctx)
	if err != nil {
		return err
	}
	n.show.say("the bank drops a file of orders to send elsewhere")
	return n.bank.askToRedirect(at, n.share())
}

// share is how many orders are cancelled of each standing; twice as many move.
func (n *night) share() int { return min(max(2, n.orders/150), 100) }

// standing looks where no bank can, so that its changes meet every answer.
func (n *night) standing(ctx context.Context) (standing, error) {
	var at standing
	ledger := n.world.D1.Ledger()
	slices.SortStableFunc(ledger, func(a, b entry) int { return b.DueAt.Compare(a.DueAt) })
	early := []issuance.ProductionStatus{issuance.CardProdRequested, issuance.DataPrepared, issuance.CardProdReady}
	made := []issuance.ProductionStatus{issuance.CardProdDone, issuance.CardShipped}
	for _, e := range ledger {
		status := issuance.ProductionStatus(e.Status)
		if slices.Contains(early, status) {
			at.early = append(at.early, e.IssuerRequestID)
		} else if slices.Contains(made, status) {
			at.made = append(at.made, e.IssuerRequestID)
		}
	}
	var ready []issuance.Order
	err := n.eachOrder(ctx, func(o *issuance.Order) {
		if o.State == issuance.Ready {
			ready = append(ready, *o)
		}
	})
	slices.SortFunc(ready, func(a, b issuance.Order) int {
		return cmp.Or(cmp.Compare(b.Urgency, a.Urgency), cmp.Compare(b.Ref, a.Ref))
	})
	for _, o := range ready {
		at.waiting = append(at.waiting, o.OrderID)
	}
	return at, err
}

// pick takes n orders of each standing that no change was asked of yet. There
// is always one: a small night may have moved on.
func (c *coreBanking) pick(at standing, n int) []string {
	var picked []string
	for _, ids := range [][]string{at.waiting, at.early, at.made} {
		left := n
		for _, id := range ids {
			if left == 0 {
				break
			}
			if !c.changed[id] {
				c.changed[id] = true
				picked = append(picked, id)
				left--
			}
		}
	}
	if len(picked) == 0 {
		picked = []string{"o1-000001"}
	}
	return picked
}

// askToCancel drops a file with a row that repeats the one before it, one that
// asks for nothing we know, and one for an order that nobody has given.
func (c *coreBanking) askToCancel(at standing, n int) error {
	var rows []orderfile.ChangeRow
	for _, id := range c.pick(at, n) {
		rows = append(rows, orderfile.ChangeRow{OrderID: id, Change: string(issuance.Cancel)})
	}
	rows = append(rows, rows[len(rows)-1],
		orderfile.ChangeRow{OrderID: rows[0].OrderID, Change: "FORGET"},
		orderfile.ChangeRow{OrderID: "o9-000001", Change: string(issuance.Cancel)})
	return c.ask("cancel", rows)
}

// askToRedirect drops a file with a row that lacks the new address.
func (c *coreBanking) askToRedirect(at standing, n int) error {
	var rows []orderfile.ChangeRow
	for i, id := range c.pick(at, 2*n) {
		change := issuance.Redirect
		if i%3 == 2 {
			change = issuance.AccelerateAndRedirect
		}
		rows = append(rows, c.moved(id, change, i+1))
	}
	rows = append(rows, orderfile.ChangeRow{OrderID: rows[0].OrderID, Change: string(issuance.Redirect)})
	return c.ask("redirect", rows)
}

// moved asks for a card to be sent to where its holder lives now: made-up people
// who carry the number of their row, as those of the order files do.
func (c *coreBanking) moved(orderID string, change issuance.ChangeType, number int) orderfile.ChangeRow {
	text := cardholder.NewText
	return orderfile.ChangeRow{
		OrderID: orderID, Change: string(change),
		DeliveryFirstName: text("Ondine"), DeliveryLastName: text(fmt.Sprintf("Umgezogen %06d", number)),
		DeliveryLine1: text(fmt.Sprintf("%d Chemin du Nouveau %06d", 1+number%99, number)),
		DeliveryLine2: text(fmt.Sprintf("chez Voisine %06d", number)),
		DeliveryCity:  text("Oyonnax"), DeliveryZipCode: text("01100"), DeliveryCountryCode: "FR",
		DeliveryPhone: text(fmt.Sprintf("+33199%06d", number)),
	}
}

func (c *coreBanking) ask(what string, rows []orderfile.ChangeRow) error {
	c.asked++
	name := fmt.Sprintf("changes-%s-%d-%s.csv", c.date.Format("20060102"), c.asked, what)
	f, err := rehearsal.NewChangeFile(name, int64(c.asked), c.date, rows)
	if err != nil {
		return err
	}
	return f.Drop(c.changes)
}

// eachOrder calls do with every row of the accepted order files.
func (n *night) eachOrder(ctx context.Context, do func(*issuance.Order)) error {
	batches, err := n.batches(ctx, issuance.BatchOrders)
	if err != nil {
		return err
	}
	for _, b := range batches {
		if b.State == issuance.BatchRefused {
			continue
		}
		for o, err := range n.store.OrdersOfBatch(ctx, b.No) {
			if err != nil {
				return err
			}
			do(&o)
		}
	}
	return nil
}

// eachChange calls do with every row of the files of changes.
func (n *night) eachChange(ctx context.Context, do func(*issuance.Change)) error {
	batches, err := n.batches(ctx, issuance.BatchChanges)
	if err != nil {
		return err
	}
	for _, b := range batches {
		for c, err := range n.store.ChangesOfBatch(ctx, b.No) {
			if err != nil {
				return err
			}
			do(&c)
		}
	}
	return nil
}

// batches returns the files of one kind.
func (n *night) batches(ctx context.Context, kind issuance.BatchKind) ([]issuance.Batch, error) {
	all, err := n.store.Batches(ctx, issuance.BatchFilter{})
	return slices.DeleteFunc(all, func(b issuance.Batch) bool { return b.Kind != kind }), err
}

// likeD1 compares every order and every change with D1's own ledger.
func (n *night) likeD1(ctx context.Context) error {
	s := &n.sum
	ledger := map[string]entry{}
	for _, e := range n.world.D1.Ledger() {
		if e.Answer == http.StatusAccepted {
			ledger[e.IssuerRequestID] = e
		}
	}
	err := n.eachOrder(ctx, func(o *issuance.Order) {
		e, made := ledger[o.OrderID]
		switch {
		case o.State != issuance.Submitted:
			if made && o.State != issuance.Duplicate && o.State != issuance.Rejected {
				s.differ("order %s is %s, and D1 has it", o.OrderID, o.State)
			}
		case !made:
			s.differ("order %s is submitted, and D1 does not have it", o.OrderID)
		case o.OperationID != e.OperationID || string(o.Production.Status) != e.Status || !e.Final || !o.Final():
			s.differ("order %s: we say %s %s, D1 says %s %s", o.OrderID, o.OperationID, o.Production.Status, e.OperationID, e.Status)
		default:
			s.LikeD1++
		}
	})
	if err != nil {
		return err
	}
	return n.changesLikeD1(ctx, ledger)
}

// changesLikeD1 compares by D1's operations, and then the other way round:
// what D1 has done and we do not know of.
func (n *night) changesLikeD1(ctx context.Context, ledger map[string]entry) error {
	s, decided := &n.sum, map[string]change{}
	for _, c := range n.world.D1.Changes() {
		decided[c.OperationID] = c
	}
	err := n.eachChange(ctx, func(c *issuance.Change) {
		d, there := decided[c.OperationID]
		delete(decided, c.OperationID)
		said := issuance.ChangeTooLate
		if d.Accepted {
			said = issuance.ChangeDone
		}
		e, ordered := ledger[c.OrderID]
		canceled := issuance.ProductionStatus(e.Status) == issuance.CardProdCanceled
		switch {
		case there && (d.IssuerRequestID != c.OrderID || d.Type != string(c.Type) || said != c.State):
			s.differ("%s of order %s is %s, D1 says %s", c.Type, c.OrderID, c.State, said)
		case !there && c.State == issuance.ChangeDone:
			s.differ("%s of order %s is done, and D1 knows nothing of it", c.Type, c.OrderID)
		case c.Type == issuance.Cancel && c.State == issuance.ChangeApplied && ordered,
			c.Type == issuance.Cancel && c.State == issuance.ChangeDone && !canceled:
			s.differ("order %s was cancelled, and D1 has it as %s", c.OrderID, e.Status)
		case c.State.Taken():
			s.Changes.LikeD1++
			switch {
			case c.State != issuance.ChangeApplied && c.State != issuance.ChangeDone:
			case c.Type == issuance.Cancel:
				s.CancelledByBank++
			case c.Type.Redirects():
				s.Redirected++
			}
		}
	})
	for _, d := range decided {
		s.differ("D1 was asked for %s of order %s by %s, which is not in our books", d.Type, d.IssuerRequestID, d.OperationID)
	}
	return err
}
