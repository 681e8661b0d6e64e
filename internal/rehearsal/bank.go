package rehearsal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

// OrderFile is an order file before it is dropped. It may be damaged on
// purpose: change Content or Control.
type OrderFile struct {
	Content []byte
	Control issuance.Control
	Rows    sample.File // what is in it, when it is not damaged
}

// NewOrderFile makes a file of the world's issuer. The business date is that of
// o.Now.
func NewOrderFile(name string, sequence int64, o sample.Options) (*OrderFile, error) {
	var b bytes.Buffer
	rows, err := sample.Generate(&b, o)
	if err != nil {
		return nil, err
	}
	control := rows.Control(name, IssuerID, sequence, o.Now.Format(time.DateOnly), o.Now)
	return &OrderFile{Content: b.Bytes(), Control: control, Rows: rows}, nil
}

// Name is that of the order file in the drop.
func (f *OrderFile) Name() string { return f.Control.File }

// Drop puts the file into a directory as a bank's core does: the order file
// first, its control file last.
func (f *OrderFile) Drop(dir string) error { return drop(dir, f.Content, f.Control) }

// ChangeFile is a file of changes of orders before it is dropped.
type ChangeFile struct {
	Content []byte
	Control issuance.Control
}

// NewChangeFile makes a file of the world's issuer. The business date is that of now.
func NewChangeFile(name string, sequence int64, now time.Time, rows []orderfile.ChangeRow) (*ChangeFile, error) {
	l, err := orderfile.NewLayout(orderfile.Format{Content: orderfile.Changes})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc, err := orderfile.NewLayoutEncoder(&b, l)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if err := enc.EncodeChange(&rows[i]); err != nil {
			return nil, err
		}
	}
	if err := enc.Flush(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b.Bytes())
	written := sample.File{Rows: int64(len(rows)), SHA256: hex.EncodeToString(sum[:])}
	return &ChangeFile{Content: b.Bytes(), Control: written.Control(name, IssuerID, sequence, now.Format(time.DateOnly), now)}, nil
}

// Drop is that of an [OrderFile].
func (f *ChangeFile) Drop(dir string) error { return drop(dir, f.Content, f.Control) }

func drop(dir string, content []byte, control issuance.Control) error {
	ctl, err := orderfile.EncodeControl(control)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, control.File)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".ctl", ctl, 0o600)
}
