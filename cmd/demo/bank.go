package main

import (
	"fmt"
	"time"

	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/rehearsal"
)

// coreBanking drops order files as a bank's core does: the order file first,
// its control file last. Some of what it drops is damaged, on purpose.
type coreBanking struct {
	dir     string // the drop directory
	seed    uint64
	date    time.Time
	dropped int                  // files
	resends *rehearsal.OrderFile // what must be sent again
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
	cut.Content = cut.Content[:len(cut.Content)*2/3]
	again := *first
	again.Control.File, again.Control.Sequence = c.name("4-again"), 4
	wrong, err := c.file(5, minOrders)
	if err != nil {
		return 0, 0, err
	}
	wrong.Control.SHA256 = first.Control.SHA256[:32] + wrong.Control.SHA256[32:]
	for _, f := range []*rehearsal.OrderFile{first, second, &cut, &again, wrong} {
		if err := c.drop(f); err != nil {
			return 0, 0, err
		}
	}
	third.Control.File = c.name("3-resent")
	c.resends = third
	return 2, 3, nil
}

// resend drops the whole of the file that was cut.
func (c *coreBanking) resend() error { return c.drop(c.resends) }

func (c *coreBanking) name(suffix string) string {
	return fmt.Sprintf("cards-%s-%s.csv", c.date.Format("20060102"), suffix)
}

func (c *coreBanking) file(sequence int64, rows int) (*rehearsal.OrderFile, error) {
	return rehearsal.NewOrderFile(c.name(fmt.Sprint(sequence)), sequence, sample.Options{
		Rows: rows, Seed: c.seed*100 + uint64(sequence), BadEvery: badEvery, RepeatEvery: repeatEvery,
		Prefix: fmt.Sprintf("o%d", sequence), Now: c.date,
	})
}

func (c *coreBanking) drop(f *rehearsal.OrderFile) error {
	c.dropped++
	return f.Drop(c.dir)
}
