package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/drop"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/pgp"
	"cardbatch/internal/validate"

	"github.com/rs/zerolog"
)

// Rules are what a file is checked against offline.
type Rules struct {
	Products    map[string]issuance.Product
	JWEKids     []string // none: any is accepted
	IssuerID    string   // empty: what the control file says
	Environment string   // empty: what the control file says
	Accept      string   // of config.Source; empty: rows
	MaxRejects  float64  // 0 to 1
	MaxBytes    int64    // 0: any
	MaxRows     int64    // 0: as many as there can be
	NoControl   bool     // a control file beside the file is not looked at
	// BusinessDates are those of the source, nil for any.
	BusinessDates *intake.DateRange
	Location      *time.Location // of the business dates; nil: UTC
	Now           func() time.Time
	Unwrap        func(io.Reader) (io.Reader, error) // of intake.Source; nil: the file is plain
	Layout        *orderfile.Layout                  // nil: that of the contract
	Changes       bool                               // it is a file of changes
}

// Verdict is what intake would make of a file.
type Verdict struct {
	File      string              `json:"file"`
	Accepted  bool                `json:"accepted"`
	Code      issuance.Code       `json:"code,omitempty"`
	Reason    string              `json:"reason,omitempty"`
	Control   bool                `json:"control"` // a control file was beside it
	SHA256    string              `json:"sha256,omitempty"`
	Rows      int64               `json:"rows"`
	Good      int64               `json:"good"`
	Rejected  int64               `json:"rejected"`
	Duplicate int64               `json:"duplicate"`
	Errors    []issuance.RowError `json:"-"`
}

// Clean reports whether the file would be taken with all of its rows.
func (v *Verdict) Clean() bool { return v.Accepted && v.Rejected == 0 }

// CheckFile lets intake itself look at a file of this machine, with its control
// file if that lies beside it, and returns what it would make of it. Nothing is
// moved, stored or sent, and history is not looked at.
func CheckFile(ctx context.Context, path string, rules Rules) (Verdict, error) {
	if strings.HasSuffix(path, orderfile.ControlSuffix) {
		return Verdict{}, exitcode.Mark(errors.New("this is a control file"), exitcode.Usage,
			"name the order file; its control file is read when it lies beside it")
	}
	if rules.Unwrap == nil && strings.EqualFold(filepath.Ext(path), pgp.Suffix) {
		return Verdict{}, exitcode.Mark(errors.New("the file is encrypted, and no keys are known"), exitcode.Usage,
			"name a source that takes encrypted files with --source")
	}
	switch info, err := os.Stat(path); {
	case err != nil:
		return Verdict{}, fmt.Errorf("read order file: %w", err)
	case info.IsDir():
		return Verdict{}, errors.New("read order file: it is a directory")
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	desk := &desk{path: path, names: map[string]string{}}
	desk.forget()
	src := intake.Source{
		Name: "offline", IssuerID: rules.IssuerID, Environment: rules.Environment, Location: time.UTC,
		Drop: desk, Directory: "drop", Archive: "archive", Quarantine: "quarantine", Pattern: "*",
		Accept: intake.AcceptRows, MaxRejects: 1,
		MaxBytes: 1 << 62, MaxRows: issuance.MaxRows, Unwrap: rules.Unwrap, Layout: rules.Layout, Encoder: noEncoder{},
		Rules: func(now time.Time) intake.Checker {
			return validate.New(validate.Rules{Products: rules.Products, Now: now, JWEKids: rules.JWEKids})
		},
	}
	if rules.Changes {
		if src.Layout == nil {
			layout, err := orderfile.NewLayout(orderfile.Format{Content: orderfile.Changes})
			if err != nil {
				return Verdict{}, err
			}
			src.Layout = layout
		}
		src.Changes = &intake.Changes{Encoder: noEncoder{}, Rules: func(now time.Time) intake.ChangeChecker {
			return validate.NewChanges(validate.Rules{Products: rules.Products, Now: now})
		}}
	}
	if rules.Accept != "" {
		src.Accept, src.MaxRejects = intake.Accept(rules.Accept), rules.MaxRejects
	}
	src.MaxBytes, src.MaxRows = cmp.Or(rules.MaxBytes, src.MaxBytes), cmp.Or(rules.MaxRows, src.MaxRows)
	src.BusinessDates, src.Location = rules.BusinessDates, cmp.Or(rules.Location, src.Location)
	if control, err := os.ReadFile(path + orderfile.ControlSuffix); err == nil && !rules.NoControl { //nolint:gosec // the user names the file
		src.Completion.Control = true
		desk.control = true
		if c, err := orderfile.ParseControl(control); err == nil && src.IssuerID == "" {
			src.IssuerID, src.Environment = c.IssuerID, c.Environment
		}
	}
	stage, err := intake.New(intake.Config{
		Sources: []intake.Source{src}, Store: desk, Sealer: noSealer{}, Fingerprint: cardholder.NewFingerprinter(key),
		Session: "offline", Now: rules.Now, Logger: zerolog.Nop(),
	})
	if err != nil {
		return Verdict{}, err
	}
	if _, err := stage.RunOnce(ctx); err != nil {
		return Verdict{}, err
	}
	if desk.verdict == nil {
		return Verdict{}, errors.New("its name keeps intake from taking it: hidden (it begins with a dot), too long, or with a line break")
	}
	return *desk.verdict, nil
}

// desk is a drop with one file and a store for as long as it is looked at.
type desk struct {
	path    string
	control bool

	mu      sync.Mutex
	names   map[string]string // where renames have put the files
	batch   issuance.Batch
	totals  issuance.Totals
	orders  map[string]issuance.FirstUse
	cards   map[string]issuance.OpenOrder
	pans    map[issuance.Ref]pan
	changes issuance.ChangeTotals
	asked   map[string]issuance.Change // the last of each order
	errors  []issuance.RowError
	verdict *Verdict
}

func (d *desk) name() string { return filepath.Base(d.path) }

// List implements [intake.Drop].
func (d *desk) List(_ context.Context, dir string) ([]drop.Entry, error) {
	if dir != "drop" {
		return nil, nil
	}
	names := []string{d.path}
	if d.control {
		names = append(names, d.path+orderfile.ControlSuffix)
	}
	var entries []drop.Entry
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		entries = append(entries, drop.Entry{Name: filepath.Base(name), Size: info.Size(), ModTime: info.ModTime()})
	}
	return entries, nil
}

// Stat implements [intake.Drop]. Every name is the same file.
func (d *desk) Stat(context.Context, string) (drop.Entry, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return drop.Entry{}, err
	}
	return drop.Entry{Name: info.Name(), Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Open implements [intake.Drop].
func (d *desk) Open(_ context.Context, name string) (io.ReadCloser, error) {
	d.mu.Lock()
	original, ok := d.names[name]
	d.mu.Unlock()
	if !ok {
		original = name
	}
	if strings.HasSuffix(original, orderfile.ControlSuffix) {
		return os.Open(d.path + orderfile.ControlSuffix)
	}
	return os.Open(d.path)
}

// Rename implements [intake.Drop]. Only we believe it.
func (d *desk) Rename(_ context.Context, from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if original, ok := d.names[from]; ok {
		from = original
	}
	d.names[to] = from
	return nil
}

// ClaimFile implements [intake.Files].
func (d *desk) ClaimFile(_ context.Context, b issuance.Batch) (issuance.Batch, error) {
	b.No, b.State = 1, issuance.BatchLoading
	if b.ID == "" {
		b.ID = "offline"
	}
	d.batch = b
	return b, nil
}

// LoadingBatches implements [intake.Files].
func (d *desk) LoadingBatches(context.Context, string) ([]issuance.Batch, error) { return nil, nil }

// Adopt implements [intake.Files].
func (d *desk) Adopt(context.Context, issuance.BatchNo) error { return nil }

// UnarchivedBatches implements [intake.Files].
func (d *desk) UnarchivedBatches(context.Context, string) ([]issuance.Batch, error) { return nil, nil }

// MarkArchived implements [intake.Files].
func (d *desk) MarkArchived(context.Context, issuance.BatchNo, string) error { return nil }

// SetAside implements [intake.Files].
func (d *desk) SetAside(context.Context, issuance.BatchNo, string) error { return nil }

// Observe implements [intake.Files].
func (d *desk) Observe(context.Context, string, []issuance.Observation) (map[string]issuance.Sighting, error) {
	return nil, nil //nolint:nilnil // nothing is ever stuck here
}

// MarkReported implements [intake.Files].
func (d *desk) MarkReported(context.Context, string, []string) error { return nil }

// PriorFile implements [intake.History].
func (d *desk) PriorFile(context.Context, string, issuance.PriorKey) (issuance.Batch, bool, error) {
	return issuance.Batch{}, false, nil
}

// LastSequence implements [intake.History].
func (d *desk) LastSequence(context.Context, string) (int64, error) { return 0, nil }

// HeldFiles implements [intake.History].
func (d *desk) HeldFiles(context.Context, string) ([]issuance.Batch, error) { return nil, nil }

// AddOrders implements [intake.Orders].
func (d *desk) AddOrders(_ context.Context, _ issuance.BatchNo, orders []issuance.NewOrder) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range orders {
		o := &orders[i]
		if o.State == issuance.Ready {
			d.judge(o)
		}
		d.totals.AddOrder(&o.Order)
		d.errors = append(d.errors, o.Errors...)
	}
	return nil
}

// judge decides on a row as the store does.
func (d *desk) judge(o *issuance.NewOrder) {
	d.pans[o.Ref] = pan{o.Line, string(o.PANFingerprint)}
	first, used := d.orders[o.OrderID]
	open, busy := d.cards[o.CardID]
	same, seen := d.pans[o.SamePAN]
	switch {
	case used:
		o.Collide(first)
	case seen && same.fingerprint == string(o.PANFingerprint):
		o.RepeatPAN(same.line)
	case busy:
		o.CardBusy(open)
	default:
		d.orders[o.OrderID] = issuance.FirstUse{FileName: d.name(), Line: o.Line, ContentMAC: o.ContentMAC}
		d.cards[o.CardID] = issuance.OpenOrder{OrderID: o.OrderID, FileName: d.name(), Line: o.Line}
	}
}

// pan is what the desk remembers of a row to recognize its PAN.
type pan struct {
	line        int64
	fingerprint string
}

// AddChanges implements [intake.Orders].
func (d *desk) AddChanges(_ context.Context, _ issuance.BatchNo, changes []issuance.NewChange) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		if last, asked := d.asked[c.OrderID]; c.State == issuance.ChangeWaiting && asked && last.RepeatsLast(c.ContentMAC) {
			c.Repeat(d.name(), last.Line)
		}
		if c.State.Taken() {
			d.asked[c.OrderID] = c.Change
		}
		d.changes.Add(c.State, 1)
		d.errors = append(d.errors, c.Errors...)
	}
	return nil
}

// ChangeTotals implements [intake.Orders].
func (d *desk) ChangeTotals(context.Context, issuance.BatchNo) (issuance.ChangeTotals, error) {
	return d.changes, nil
}

// ResetBatch implements [intake.Orders].
func (d *desk) ResetBatch(context.Context, issuance.BatchNo) error {
	d.forget()
	return nil
}

func (d *desk) forget() {
	d.totals, d.errors, d.orders = issuance.Totals{}, nil, map[string]issuance.FirstUse{}
	d.changes, d.asked = issuance.ChangeTotals{}, map[string]issuance.Change{}
	d.cards, d.pans = map[string]issuance.OpenOrder{}, map[issuance.Ref]pan{}
}

// BatchTotals implements [intake.Orders].
func (d *desk) BatchTotals(context.Context, issuance.BatchNo) (issuance.Totals, error) {
	return d.totals, nil
}

// DecideBatch implements [intake.Orders].
func (d *desk) DecideBatch(_ context.Context, b issuance.Batch, to issuance.BatchState, why issuance.Why) error {
	d.verdict = &Verdict{
		File: d.path, Accepted: to == issuance.BatchAccepted, Code: why.Code, Reason: why.Reason, Control: d.control,
		SHA256: b.SHA256, Rows: b.Rows, Good: d.totals.State(issuance.Ready) + d.changes.State(issuance.ChangeWaiting),
		Rejected:  d.totals.State(issuance.Rejected) + d.changes.State(issuance.ChangeRejected),
		Duplicate: d.totals.State(issuance.Duplicate) + d.changes.State(issuance.ChangeDuplicate), Errors: d.errors,
	}
	return nil
}

type noEncoder struct{}

// Encode implements [intake.Encoder]. Nothing is sent.
func (noEncoder) Encode(cardholder.Instruction) ([]byte, error) { return nil, nil }

// EncodeChange implements [intake.ChangeEncoder].
func (noEncoder) EncodeChange(cardholder.ChangeInstruction) ([]byte, error) { return nil, nil }

type noSealer struct{}

// Seal implements [intake.Sealer]. Nothing is kept.
func (noSealer) Seal([]byte, []byte) ([]byte, error) { return nil, nil }
