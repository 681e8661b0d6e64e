package rehearsal

import (
	"bytes"
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
func (f *OrderFile) Drop(dir string) error {
	ctl, err := orderfile.EncodeControl(f.Control)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, f.Name())
	if err := os.WriteFile(path, f.Content, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".ctl", ctl, 0o600)
}
