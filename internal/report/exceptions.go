package report

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"

	"cardbatch/internal/ageing"
	"cardbatch/internal/issuance"
	"cardbatch/internal/reconcile"
)

// The columns of schemas/report-exceptions.v1.table.json.
func exceptionsColumns() []string {
	return []string{
		"kind", "order_id", "batch", "source_file", "line", "card_id", "card_product_id", "masked_pan",
		"disposition", "production_status", "operation_id", "code", "text", "times", "due_date",
		"since", "age_days", "age_bucket", "remedy",
	}
}

// Columns that the totals are made of.
const (
	kindColumn    = 0
	productColumn = 6
	bucketColumn  = 17
)

// renderExceptions lists everything of an issuer that needs a person. Ages are
// those at the time of the plan, so that they do not depend on when a file gets
// through.
func (r *run) renderExceptions(ctx context.Context, d *issuance.Delivery, w io.Writer) (Control, error) {
	var rules *ageing.Rules
	for i := range r.cfg.Issuers {
		if r.cfg.Issuers[i].ID == d.IssuerID {
			rules = r.cfg.Issuers[i].Ageing
		}
	}
	if rules == nil {
		return Control{}, fmt.Errorf("issuer %s has no rules of ageing", d.IssuerID)
	}
	t := newTable(w, exceptionsColumns())
	sum := newExceptionTotals()
	for item, err := range ageing.List(ctx, r.store, rules, d.IssuerID, d.PlannedAt) {
		if err == nil {
			err = r.addException(ctx, t, &item)
		}
		if err != nil {
			return Control{}, err
		}
		sum.add(t.row)
		if err := t.end(); err != nil {
			return Control{}, err
		}
	}
	return sum.control(d, t.rows), t.close()
}

func (r *run) addException(ctx context.Context, t *table, item *ageing.Item) error {
	t.plain(string(item.Kind))
	switch {
	case item.Order != nil:
		b, err := r.batch(ctx, item.Order.Ref.Batch())
		if err != nil {
			return err
		}
		line := reconcile.LineOf(&item.Order.Order)
		o := line.Order
		t.id(o.OrderID)
		t.id(b.ID)
		t.foreign(b.FileName)
		t.number(o.Line)
		t.id(o.CardID)
		t.id(o.ProductID)
		t.text(o.MaskedPAN)
		t.plain(line.Disposition)
		t.id(string(o.Production.Status))
		t.id(o.OperationID)
	case item.Batch != nil:
		t.empty()
		t.id(item.Batch.ID)
		t.foreign(item.Batch.FileName)
		for range 4 {
			t.empty()
		}
		t.plain(string(item.Batch.State))
		t.empty()
		t.empty()
	case item.Parked != nil:
		t.text(item.Parked.IssuerRequestID)
		for range 3 {
			t.empty()
		}
		t.text(item.Parked.CardID)
		for range 3 {
			t.empty()
		}
		t.id(string(item.Parked.Status))
		t.foreign(item.Parked.OperationID)
	default:
		for range 10 {
			t.empty()
		}
	}
	t.finding(item)
	return nil
}

func (t *table) finding(item *ageing.Item) {
	t.text(string(item.Code))
	t.text(item.Text)
	if item.Times > 0 {
		t.number(item.Times)
	} else {
		t.empty()
	}
	if item.Order != nil {
		t.foreign(item.Order.Production.DueDate)
	} else {
		t.empty()
	}
	t.time(item.Since)
	t.number(int64(item.Age))
	t.plain(ageing.Bucket(item.Age))
	t.plain(item.Kind.Remedy())
}

// exceptionTotals counts the rows of an exceptions file by kind and by age,
// and by product again.
type exceptionTotals struct {
	rows     int64
	kinds    map[string]int64
	buckets  map[string]int64
	products map[string]map[string]int64
}

func newExceptionTotals() *exceptionTotals {
	return &exceptionTotals{kinds: map[string]int64{}, buckets: map[string]int64{}, products: map[string]map[string]int64{}}
}

func (s *exceptionTotals) add(row []string) {
	kind, product := row[kindColumn], productKey(row[productColumn])
	s.rows++
	s.kinds[kind]++
	s.buckets[row[bucketColumn]]++
	if s.products[product] == nil {
		if len(s.products) >= reconcile.MaxProducts {
			product = reconcile.Other
		}
		if s.products[product] == nil {
			s.products[product] = map[string]int64{}
		}
	}
	s.products[product][kind]++
}

// control returns the control file of rows written: their number must be the
// sum of the kinds and of the ages.
func (s *exceptionTotals) control(d *issuance.Delivery, rows int64) Control {
	c := newControl(d, nil)
	c.Rows = rows
	var sum int64
	c.Totals, sum = terms(rows, kindNames(), s.kinds)
	c.addBreaks(unequal("rows = sum of the kinds", rows, sum))
	c.Ageing, sum = terms(rows, ageing.Buckets(), s.buckets)
	c.Ageing = c.Ageing[1:]
	c.addBreaks(unequal("rows = sum of the ages", rows, sum))
	var ofProducts int64
	for _, product := range slices.Sorted(maps.Keys(s.products)) {
		kinds := s.products[product]
		_, sum = terms(0, kindNames(), kinds)
		c.Products[product], _ = terms(sum, kindNames(), kinds)
		ofProducts += sum
	}
	c.addBreaks(unequal("rows = sum of the products", rows, ofProducts))
	return c
}

func kindNames() []string {
	var names []string
	for _, kind := range ageing.Kinds() {
		names = append(names, string(kind))
	}
	return names
}

// terms returns rows and the counts under the given names, and their sum. What
// has another name is missing in it.
func terms(rows int64, names []string, counts map[string]int64) (t Totals, sum int64) {
	t = Totals{{Name: "rows", Count: rows}}
	for _, name := range names {
		t = append(t, issuance.Term{Name: name, Count: counts[name]})
		sum += counts[name]
	}
	return t, sum
}

func unequal(equation string, left, right int64) []issuance.Break {
	if left == right {
		return nil
	}
	return []issuance.Break{{Equation: equation, Left: left, Right: right}}
}

// adopt makes the control file of an exceptions file that a process has written
// whole and died before it announced it. The rows have gone on since, and
// the day: written now it would be another file, so this one stands, and what it says
// is counted from itself. What has not our columns is not ours.
func (r *run) adopt(ctx context.Context, place *Place, d *issuance.Delivery) (_ Control, err error) {
	file, err := place.Drop.Open(ctx, path.Join(place.Dir, d.Name))
	if err != nil {
		return Control{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	outside := &watched{r: file}
	var content io.Reader = outside
	if place.Envelope != nil {
		content, err = place.Envelope.Unwrap(envelopeName(d), outside)
	}
	var sum *exceptionTotals
	if err == nil {
		sum, err = countExceptions(content)
	}
	switch {
	case outside.err != nil:
		return Control{}, outside.err
	case err != nil:
		return Control{}, errTaken
	}
	return sum.control(d, sum.rows), nil
}

var errForeign = errors.New("not an exceptions file of ours")

func countExceptions(content io.Reader) (*exceptionTotals, error) {
	file := csv.NewReader(content)
	file.ReuseRecord = true
	header, err := file.Read()
	if err != nil || !slices.Equal(header, exceptionsColumns()) {
		return nil, errors.Join(errForeign, err)
	}
	sum := newExceptionTotals()
	for {
		row, err := file.Read()
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(kindNames(), row[kindColumn]) || !slices.Contains(ageing.Buckets(), row[bucketColumn]) {
			return nil, errForeign
		}
		if _, err := strconv.Atoi(row[bucketColumn-1]); err != nil {
			return nil, errForeign
		}
		sum.add(row)
	}
}
