package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"cardbatch/internal/ageing"
	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// Batches is what the stage needs of batches and orders.
type Batches interface {
	// AdvanceBatches settles and closes the batches that are ready for it.
	AdvanceBatches(ctx context.Context) (settled, closed int, err error)
	// Batches returns batches in order of arrival.
	Batches(ctx context.Context, filter issuance.BatchFilter) ([]issuance.Batch, error)
	// BatchByNo returns one batch as it is now.
	BatchByNo(ctx context.Context, no issuance.BatchNo) (issuance.Batch, error)
	// OrdersOfBatch returns the orders of a batch in the order of their rows,
	// each once and in constant memory.
	OrdersOfBatch(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.Order, error]
	// ProductTotals counts the orders of a batch by product; Rows of each are
	// the rows found for it.
	ProductTotals(ctx context.Context, no issuance.BatchNo) (map[string]issuance.Totals, error)
	// ChangesOfBatch and ChangeTotals are the same for a batch of changes.
	ChangesOfBatch(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.Change, error]
	ChangeTotals(ctx context.Context, no issuance.BatchNo) (issuance.ChangeTotals, error)
	// RowErrors returns what is wrong with rows of a batch, in the order of
	// the rows; for a refused batch, too, whose orders are gone.
	RowErrors(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.RowError, error]
	// LastSequence returns the highest sequence number taken from a source, 0
	// when there is none.
	LastSequence(ctx context.Context, source string) (int64, error)
}

// News is what the stage reads of the history.
type News interface {
	// LastEventID returns the number of the newest event of all.
	LastEventID(ctx context.Context) (int64, error)
	// ChangedBatches returns, for every batch with an event numbered above
	// after and not above upTo, its own or of one of its orders, the number
	// of the newest of them.
	ChangedBatches(ctx context.Context, after, upTo int64) (map[issuance.BatchNo]int64, error)
	// ChangedOrders returns, once each, the orders of an issuer whose production or
	// shipment has an event numbered above after and not above upTo.
	ChangedOrders(ctx context.Context, issuerID string, after, upTo int64) iter.Seq2[issuance.Order, error]
}

// Deliveries is the ledger of what is owed and what was delivered.
type Deliveries interface {
	// Deliveries returns deliveries in the order in which they were planned.
	Deliveries(ctx context.Context, filter issuance.DeliveryFilter) ([]issuance.Delivery, error)
	// PlanDelivery adds one and gives it its number and time. It fails when
	// its destination has one of that name.
	PlanDelivery(ctx context.Context, d issuance.Delivery) (issuance.Delivery, error)
	// RenameDelivery gives a planned delivery another revision and name. It
	// fails when its destination has one of that name.
	RenameDelivery(ctx context.Context, id int64, revision int, name string) error
	// CoverDeliveries records that nothing has changed in what deliveries
	// tell, up to an event.
	CoverDeliveries(ctx context.Context, ids []int64, upTo int64) error
	// MarkDelivered records that a planned delivery has arrived.
	MarkDelivered(ctx context.Context, id, rows, size int64, sha256 string) error
}

// Store is all that the stage needs of the store.
type Store interface {
	Batches
	News
	Deliveries
	ageing.Source
}

// Drop is what the stage needs of a file drop; see [drop.Drop].
type Drop interface {
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	Put(ctx context.Context, name string, content func(io.Writer) error) (drop.Written, error)
}

// Place is a directory of a drop that reports go to. It must exist.
type Place struct {
	// Name identifies the place for ever: deliveries are stored under it, and
	// file names are unique within it. Sources that share a directory must
	// share the Place. Something like "core-sftp:reports".
	Name string
	// Dir is the directory on the drop.
	Dir  string
	Drop Drop
	// Envelope is put around every file that goes to the place, but not around
	// control files; nil means none.
	Envelope Envelope
}

// Envelope encrypts files.
type Envelope interface {
	// Suffix is added to the names of files in the envelope.
	Suffix() string
	// Wrap returns a writer that writes the envelope with what it is given to
	// w. The file is complete when the writer was closed without error.
	Wrap(name string, w io.Writer) (io.WriteCloser, error)
	// Unwrap returns what is in an envelope that Wrap has made under the same
	// name, up to an io.EOF that says it is whole. Any other error means that
	// it is none of those, or that reading r failed.
	Unwrap(name string, r io.Reader) (io.Reader, error)
}

// Source says where to report on the files of a source.
type Source struct {
	Name       string
	Reports    Place
	Quarantine Place // where refused files end up; their receipts go there, too
}

// Issuer says where to write the status and exceptions files of an issuer.
type Issuer struct {
	ID      string
	Reports Place
	// Ageing says when an order needs a person. Without it there are no
	// exceptions files.
	Ageing *ageing.Rules
}

// DefaultReviseEvery leaves room for a daily job that starts a little early.
const DefaultReviseEvery = 20 * time.Hour

// Config says what to report on. Batches of other sources and deliveries to
// other places are left alone, so that a job may select some.
type Config struct {
	Sources []Source
	Issuers []Issuer
	// ReviseEvery is the least time between two editions of the
	// reconciliation of a batch that is not closed; 0 means
	// DefaultReviseEvery.
	ReviseEvery time.Duration
	// Now is the clock; nil means the real one.
	Now func() time.Time
}

func (c *Config) check() error {
	c.ReviseEvery = cmp.Or(c.ReviseEvery, DefaultReviseEvery)
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, s := range c.Sources {
		if err := errors.Join(s.Reports.check(), s.Quarantine.check()); err != nil {
			return fmt.Errorf("report: source %q: %w", s.Name, err)
		}
	}
	for _, i := range c.Issuers {
		if err := i.Reports.check(); err != nil {
			return fmt.Errorf("report: issuer %q: %w", i.ID, err)
		}
	}
	return nil
}

func (p *Place) suffix() string {
	if p.Envelope == nil {
		return ""
	}
	return p.Envelope.Suffix()
}

func (p *Place) check() error {
	if p.Name == "" || p.Dir == "" || p.Drop == nil {
		return fmt.Errorf("place %q needs a name, a directory and a drop", p.Name)
	}
	return nil
}

// Kinds lists every kind of report in the order in which they are written.
func Kinds() []string {
	return []string{
		string(issuance.DeliverReceipt), string(issuance.DeliverReconciliation), string(issuance.DeliverStatus),
		string(issuance.DeliverExceptions),
	}
}

// Options say what one run is to do.
type Options struct {
	Kinds        []string // of [Kinds]; none means all
	BusinessDate string   // of status and exceptions files, YYYY-MM-DD; empty means today in UTC
}

// ErrOptions says that a run was asked for something that does not exist.
var ErrOptions = errors.New("report: bad option")

func (o *Options) check(now time.Time) error {
	if len(o.Kinds) == 0 {
		o.Kinds = Kinds()
	}
	for _, kind := range o.Kinds {
		if !slices.Contains(Kinds(), kind) {
			return fmt.Errorf("%w: there is no report %q", ErrOptions, kind)
		}
	}
	o.BusinessDate = cmp.Or(o.BusinessDate, now.UTC().Format(time.DateOnly))
	if _, err := time.Parse(time.DateOnly, o.BusinessDate); err != nil {
		return fmt.Errorf("%w: business date %q is not of the form YYYY-MM-DD", ErrOptions, o.BusinessDate)
	}
	return nil
}

func (o *Options) wants(kind issuance.DeliveryKind) bool {
	return slices.Contains(o.Kinds, string(kind))
}

// Summary says what a run has done.
type Summary struct {
	Receipts        int      `json:"receipts"` // files delivered
	Reconciliations int      `json:"reconciliations"`
	Statuses        int      `json:"statuses"`
	Exceptions      int      `json:"exceptions"`
	Rows            int64    `json:"rows"`    // in all of them
	Pending         int      `json:"pending"` // planned, but not delivered
	Unbalanced      []string `json:"unbalanced,omitempty"`
}

// Files returns how many files were delivered.
func (s *Summary) Files() int { return s.Receipts + s.Reconciliations + s.Statuses + s.Exceptions }

// Balanced reports whether the control equation holds in every file delivered.
// Unbalanced names those where it does not; they are written all the same.
func (s *Summary) Balanced() bool { return len(s.Unbalanced) == 0 }

func (s *Summary) count(d *issuance.Delivery, c *Control) {
	switch d.Kind {
	case issuance.DeliverReceipt:
		s.Receipts++
	case issuance.DeliverReconciliation:
		s.Reconciliations++
	case issuance.DeliverStatus:
		s.Statuses++
	case issuance.DeliverExceptions:
		s.Exceptions++
	}
	s.Rows += c.Rows
	if !c.Balanced {
		s.Unbalanced = append(s.Unbalanced, d.Name)
	}
}
