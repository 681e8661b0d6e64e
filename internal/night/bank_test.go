package night_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/rehearsal"
)

// dropped is a file that was dropped, and what must become of it.
type dropped struct {
	name    string
	sum     [32]byte
	refused issuance.Code // why it must be refused; empty: it must be accepted
	rows    []expected    // of an accepted file, in its order
	options sample.Options
	grown   bool // another file has its rows, and more
}

// expected is what must become of a row. One that is ordered has the state
// submitted in the end.
type expected struct {
	orderID string
	state   issuance.State
}

// bank drops order files as a core banking system does that makes every mistake
// now and then.
type bank struct {
	dir     string // the world's sftp directory
	rnd     *rand.Rand
	seed    uint64
	date    time.Time
	files   []*dropped
	resend  *rehearsal.OrderFile // of a file that was cut
	whole   sample.Options       // its
	ordered map[string]bool      // orders that must be at D1 in the end
	most    int                  // rows of a file
	bad     int                  // every n-th row is bad
	repeat  int                  // every n-th row repeats another
}

func (b *bank) next() (sequence int64, o sample.Options) {
	sequence = int64(len(b.files) + 1)
	return sequence, sample.Options{Rows: b.most/2 + b.rnd.IntN(b.most/2), Seed: b.seed*10000 + uint64(sequence),
		BadEvery: b.bad, RepeatEvery: b.repeat, Prefix: fmt.Sprintf("n%d", sequence), Now: b.date}
}

// kind is what is dropped.
type kind string

// The kinds of files.
const (
	good   kind = "good"
	cut    kind = "cut"    // in transit; it comes again whole
	wrong  kind = "wrong"  // something else than what was announced
	again  kind = "again"  // an earlier file under another name
	grown  kind = "grown"  // an earlier file, with more rows
	resent kind = "resent" // what was cut
)

// dropOne drops the next file, whatever that is.
func (b *bank) dropOne() error {
	k := good
	switch {
	case b.resend != nil:
		k = resent
	case b.rnd.IntN(4) == 0:
		k = []kind{cut, wrong, again, grown}[b.rnd.IntN(4)]
	}
	return b.dropAs(k)
}

// dropAs drops a file of a kind; a good one when there is nothing that it
// could be made of.
func (b *bank) dropAs(k kind) error {
	sequence, o := b.next()
	name := fmt.Sprintf("cards-%05d.csv", sequence)
	if k == again || k == grown {
		switch earlier := b.earlier(); {
		case earlier == nil, k == grown && earlier.grown:
			k = good
		case k == grown:
			earlier.grown = true
			o = earlier.options
			o.Rows += 5
		default:
			o = earlier.options
		}
	}
	f, err := rehearsal.NewOrderFile(name, sequence, o)
	if err != nil {
		return err
	}
	switch k {
	case cut:
		whole := *f
		b.resend, b.whole = &whole, o
		f.Content = bytes.TrimRight(f.Content[:len(f.Content)*2/3], "\n")
		return b.put(f, issuance.Truncated, o)
	case wrong:
		f.Control.SHA256 = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
		return b.put(f, issuance.ChecksumMismatch, o)
	case again:
		return b.put(f, issuance.DuplicateContent, o)
	case resent:
		f, b.resend, o = b.resend, nil, b.whole
		f.Control.File = fmt.Sprintf("cards-%05d-resent.csv", sequence)
	}
	return b.put(f, "", o)
}

// earlier is a file that was accepted for sure.
func (b *bank) earlier() *dropped {
	for range 10 {
		if len(b.files) == 0 {
			break
		}
		f := b.files[b.rnd.IntN(len(b.files))]
		if _, err := os.Stat(filepath.Join(b.dir, "archive", f.name)); err == nil {
			return f
		}
	}
	return nil
}

// put drops a file and notes what must come of it.
func (b *bank) put(f *rehearsal.OrderFile, refused issuance.Code, o sample.Options) error {
	d := &dropped{name: f.Name(), sum: sha256.Sum256(f.Content), refused: refused, options: o}
	if refused == "" {
		ids, err := orderIDs(f.Content)
		if err != nil {
			return err
		}
		for i, id := range ids {
			row := int64(i + 1)
			e := expected{id, issuance.Submitted}
			if _, bad := f.Rows.Bad[row]; bad {
				e.state = issuance.Rejected
			} else if _, repeats := f.Rows.Repeats[row]; repeats || b.ordered[id] {
				e.state = issuance.Duplicate
			} else {
				b.ordered[id] = true
			}
			d.rows = append(d.rows, e)
		}
	}
	b.files = append(b.files, d)
	return f.Drop(filepath.Join(b.dir, "drop"))
}

func orderIDs(content []byte) ([]string, error) {
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		return nil, err
	}
	at := slices.Index(rows[0], "order_id")
	ids := make([]string, 0, len(rows))
	for _, row := range rows[1:] {
		ids = append(ids, row[at])
	}
	return ids, nil
}
