package intake

import (
	"context"
	"io"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// Accept says what rejected rows mean for their file.
type Accept string

// The acceptance policies.
const (
	AcceptRows   Accept = "rows"           // good rows are taken, bad ones are not
	AllOrNothing Accept = "all_or_nothing" // one bad row refuses the file
)

// Sequence says what a missing file means for the next ones.
type Sequence string

// The rules on sequences.
const (
	SequenceWarn   Sequence = "warn"   // a file after a gap is taken, its receipt says so
	SequenceStrict Sequence = "strict" // it is held until the gap is closed or an operator releases it
)

// DateRange is how far a business date may be from today, in calendar days.
type DateRange struct{ Back, Ahead int }

// Source is where order files of one issuer come from. Directories are paths
// on the drop.
type Source struct {
	Name        string
	IssuerID    string
	Environment string // TEST or PRODUCTION, as the control file must say
	Location    *time.Location

	Drop       Drop
	Directory  string
	Archive    string
	Quarantine string
	Pattern    string // of path.Match, on the base name

	Completion Completion
	// GiveUpAfter is for how long a taken file that cannot be read is tried
	// again before it is refused; 0 means for ever.
	GiveUpAfter time.Duration

	Accept     Accept
	MaxRejects float64  // share of the rows, 0 to 1, above which the file is refused; 1 allows all
	Sequence   Sequence // empty: warn
	// BusinessDates are those a control file may name, today being the source's
	// own. Nil: any.
	BusinessDates *DateRange
	MaxBytes      int64
	MaxRows       int64

	// Unwrap turns the dropped bytes into CSV: decryption, decompression. Nil:
	// they are that already. What is wrong
	// with the file it reports as an [issuance.FileError], at the latest at the
	// end of the file, which the reader must reach before anything is decided.
	Unwrap func(io.Reader) (io.Reader, error)
	// Layout is the format of the CSV. Nil: that of the contract.
	Layout *orderfile.Layout
	// Rules returns the rules as they are at a time: expiries are judged by it.
	Rules   func(now time.Time) Checker
	Encoder Encoder
	// Changes says that its files are of changes of orders given before, and
	// what takes the place of Rules and Encoder then. Nil: they are of orders.
	Changes *Changes
}

// Changes is what it takes to take files of changes. The Layout of their source
// must be of changes, too.
type Changes struct {
	Rules   func(now time.Time) ChangeChecker
	Encoder ChangeEncoder
}

// kind is what the rows of the source's files are.
func (src *Source) kind() issuance.BatchKind {
	if src.Changes != nil {
		return issuance.BatchChanges
	}
	return issuance.BatchOrders
}

// ChangeChecker is [Checker] for a row of a change file.
type ChangeChecker interface {
	Check(orderfile.Record) (cardholder.ChangeInstruction, []issuance.RowError)
	Summary(orderfile.Record) issuance.Change
}

// ChangeEncoder is [Encoder] for a change.
type ChangeEncoder interface {
	EncodeChange(cardholder.ChangeInstruction) ([]byte, error)
}

// Drop is what intake needs of the file drop.
type Drop interface {
	List(ctx context.Context, dir string) ([]drop.Entry, error)
	Stat(ctx context.Context, name string) (drop.Entry, error)
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	Rename(ctx context.Context, from, to string) error
}

// Checker applies the rules to a row. It is used by several goroutines.
type Checker interface {
	// Check returns what D1 needs for the row, or everything that is wrong with it.
	Check(orderfile.Record) (cardholder.Instruction, []issuance.RowError)
	// Summary returns what may be kept of the row, good or bad: identifiers and
	// the masked PAN.
	Summary(orderfile.Record) issuance.Order
}

// Encoder makes D1's request body, card data encrypted, of an instruction. It
// is used by several goroutines.
type Encoder interface {
	Encode(cardholder.Instruction) ([]byte, error)
}

// Sealer makes a payload unreadable at rest. It is used by several goroutines.
type Sealer interface {
	Seal(plain, aad []byte) ([]byte, error)
}

// Files is the part of the store that knows order files.
type Files interface {
	ClaimFile(context.Context, issuance.Batch) (issuance.Batch, error)
	// LoadingBatches returns the unfinished files that may be taken over, of one
	// source or, with "", of all.
	LoadingBatches(ctx context.Context, source string) ([]issuance.Batch, error)
	Adopt(ctx context.Context, no issuance.BatchNo) error
	// SetAside discards the rows of a loading batch and lets other files go first.
	SetAside(ctx context.Context, no issuance.BatchNo, reason string) error
	UnarchivedBatches(ctx context.Context, source string) ([]issuance.Batch, error)
	MarkArchived(ctx context.Context, no issuance.BatchNo, where string) error
	Observe(ctx context.Context, source string, seen []issuance.Observation) (map[string]issuance.Sighting, error)
	// MarkReported notes that a person was told of files that do not complete.
	MarkReported(ctx context.Context, source string, names []string) error
}

// History is the part of the store that knows earlier files.
type History interface {
	PriorFile(ctx context.Context, source string, by issuance.PriorKey) (issuance.Batch, bool, error)
	// LastSequence returns the highest sequence that was taken; a held file is not.
	LastSequence(ctx context.Context, source string) (int64, error)
	// HeldFiles returns the held files of a source, oldest first.
	HeldFiles(ctx context.Context, source string) ([]issuance.Batch, error)
}

// Orders is the part of the store that takes the rows of a file and its verdict.
type Orders interface {
	AddOrders(ctx context.Context, no issuance.BatchNo, orders []issuance.NewOrder) error
	AddChanges(ctx context.Context, no issuance.BatchNo, changes []issuance.NewChange) error
	// ResetBatch deletes the rows of a loading batch and what is wrong with them.
	ResetBatch(ctx context.Context, no issuance.BatchNo) error
	BatchTotals(ctx context.Context, no issuance.BatchNo) (issuance.Totals, error)
	ChangeTotals(ctx context.Context, no issuance.BatchNo) (issuance.ChangeTotals, error)
	// DecideBatch commits the verdict on a batch. The rows of a refused one are
	// deleted first, what is wrong with them is kept for its receipt.
	DecideBatch(ctx context.Context, b issuance.Batch, to issuance.BatchState, why issuance.Why) error
}

// Store is what intake needs of the store.
type Store interface {
	Files
	History
	Orders
}
