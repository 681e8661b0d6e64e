package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

// coreBanking drops order files as a bank's core does: the order file first,
// its control file last. Some of what it drops is damaged, on purpose.
type coreBanking struct {
	dir     string // the drop directory
	seed    uint64
	date    time.Time
	dropped int        // files
	resends *orderFile // what must be sent again
}

// orderFile is an order file before it is dropped.
type orderFile struct {
	content []byte
	control issuance.Control
}

// The share of rows with a fault, and of exact repeats of an earlier row.
const (
	badEvery    = 40
	repeatEvery = 90
)

// dropEvening drops the files of the night and returns how many of them must be
// taken and how many refused: two good ones, one that was cut in transit, one
// that is an earlier one again under a new name, and one with a wrong checksum.
func (c *coreBanking) dropEvening(orders int) (good, bad int, err error) {
	share := orders / 3
	first, err := c.file(1, share)
	if err != nil {
		return 0, 0, err
	}
	second, err := c.file(2, share)
	if err != nil {
		return 0, 0, err
	}
	third, err := c.file(3, orders-2*share)
	if err != nil {
		return 0, 0, err
	}
	cut := *third
	cut.content = cut.content[:len(cut.content)*2/3]
	again := *first
	again.control.File, again.control.Sequence = c.name("4-again"), 4
	wrong, err := c.file(5, minOrders)
	if err != nil {
		return 0, 0, err
	}
	wrong.control.SHA256 = first.control.SHA256[:32] + wrong.control.SHA256[32:]
	for _, f := range []*orderFile{first, second, &cut, &again, wrong} {
		if err := c.drop(f); err != nil {
			return 0, 0, err
		}
	}
	third.control.File = c.name("3-resent")
	c.resends = third
	return 2, 3, nil
}

// resend drops the whole of the file that was cut.
func (c *coreBanking) resend() error { return c.drop(c.resends) }

func (c *coreBanking) name(suffix string) string {
	return fmt.Sprintf("cards-%s-%s.csv", c.date.Format("20060102"), suffix)
}

func (c *coreBanking) file(sequence int64, rows int) (*orderFile, error) {
	var b bytes.Buffer
	generated, err := sample.Generate(&b, sample.Options{
		Rows: rows, Seed: c.seed*100 + uint64(sequence), BadEvery: badEvery, RepeatEvery: repeatEvery,
		Prefix: fmt.Sprintf("o%d", sequence), Now: c.date,
	})
	if err != nil {
		return nil, err
	}
	name := c.name(fmt.Sprint(sequence))
	control := generated.Control(name, issuerID, sequence, c.date.Format(time.DateOnly), c.date)
	return &orderFile{content: b.Bytes(), control: control}, nil
}

func (c *coreBanking) drop(f *orderFile) error {
	ctl, err := orderfile.EncodeControl(f.control)
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, f.control.File)
	if err := os.WriteFile(path, f.content, 0o600); err != nil {
		return err
	}
	c.dropped++
	return os.WriteFile(path+".ctl", ctl, 0o600)
}
