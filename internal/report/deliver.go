package report

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// errTaken says that the name of a delivery belongs to another file.
var errTaken = errors.New("the name is taken by another file")

const (
	maxNames   = 100     // tried in one run before a person should look into the directory
	maxControl = 4 << 20 // bytes of a control file read back
)

// deliver brings a planned file to its place, and its control file after it,
// wherever an earlier attempt may have ended.
func (r *run) deliver(ctx context.Context, place *Place, d *issuance.Delivery) error {
	started := r.cfg.Now()
	if err := r.takeRightSuffix(ctx, place, d); err != nil {
		return err
	}
	for range maxNames {
		c, err := r.attempt(ctx, place, d)
		switch {
		case errors.Is(err, errTaken):
			if err := r.takeNextName(ctx, d); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if err := r.store.MarkDelivered(ctx, d.ID, c.Rows, c.Size, c.SHA256); err != nil {
			return fmt.Errorf("record delivery: %w", err)
		}
		r.summary.count(d, &c)
		r.logDelivery(place, d, &c, r.cfg.Now().Sub(started))
		return nil
	}
	return fmt.Errorf("%d names tried: %w", maxNames, errTaken)
}

func (r *run) logDelivery(place *Place, d *issuance.Delivery, c *Control, took time.Duration) {
	level, message := zerolog.InfoLevel, "report delivered"
	if !c.Balanced {
		level, message = zerolog.ErrorLevel, "report delivered, out of balance: "+c.Breaks[0]
	}
	r.log.WithLevel(level).Str("stage", "report").Str("issuer", d.IssuerID).Str("source", d.Source).Str("batch", c.Batch).
		Str("file", path.Join(place.Dir, d.Name)).Int64("count", c.Rows).Dur("duration", took).Msg(message)
}

// attempt writes the two files under the name that d has now.
func (r *run) attempt(ctx context.Context, place *Place, d *issuance.Delivery) (Control, error) {
	name := path.Join(place.Dir, d.Name)
	var c Control
	written, err := place.Drop.Put(ctx, name, func(w io.Writer) error {
		var err error
		c, err = r.enclose(ctx, place, d, w)
		return err
	})
	if errors.Is(err, drop.ErrExist) {
		old, announced, err := r.resume(ctx, place, d)
		if err != nil || announced {
			return old, err
		}
		c, written = old, drop.Written{Size: old.Size, SHA256: old.SHA256}
	} else if err != nil {
		return Control{}, err
	}
	c.Size, c.SHA256 = written.Size, written.SHA256
	return c, r.announce(ctx, place, d, &c)
}

// announce writes the control file.
func (r *run) announce(ctx context.Context, place *Place, d *issuance.Delivery, c *Control) error {
	content, err := c.encode()
	if err != nil {
		return err
	}
	_, err = place.Drop.Put(ctx, controlName(place, d), func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if !errors.Is(err, drop.ErrExist) {
		return err
	}
	_, ours, err := r.announced(ctx, place, d, drop.Written{Size: c.Size, SHA256: c.SHA256})
	if err == nil && !ours {
		err = errTaken
	}
	return err
}

// resume looks at a file that already has the name of d. One that an earlier
// attempt has finished, up to its control file, is announced; one that is what
// would be written now lacks only that; any other one is somebody else's, or
// of our own when the rows were different: nobody was told that it is there.
func (r *run) resume(ctx context.Context, place *Place, d *issuance.Delivery) (Control, bool, error) {
	found, err := drop.Checksum(ctx, place.Drop, path.Join(place.Dir, d.Name))
	if err != nil {
		return Control{}, false, err
	}
	if c, announced, err := r.announced(ctx, place, d, found); err != nil || announced {
		return c, announced, err
	}
	if d.Kind == issuance.DeliverExceptions {
		c, err := r.adopt(ctx, place, d)
		c.Size, c.SHA256 = found.Size, found.SHA256
		return c, false, err
	}
	sum := newMeter()
	c, err := r.render(ctx, d, sum)
	if err != nil {
		return Control{}, false, err
	}
	inside := found
	if place.Envelope != nil {
		if inside, err = r.inside(ctx, place, d); err != nil {
			return Control{}, false, err
		}
	}
	if sum.written() != inside {
		return Control{}, false, errTaken
	}
	c.Size, c.SHA256 = found.Size, found.SHA256
	return c, false, nil
}

// enclose renders a report, inside the envelope of its place.
func (r *run) enclose(ctx context.Context, place *Place, d *issuance.Delivery, w io.Writer) (Control, error) {
	if place.Envelope == nil {
		return r.render(ctx, d, w)
	}
	envelope, err := place.Envelope.Wrap(envelopeName(d), w)
	if err != nil {
		return Control{}, err
	}
	c, err := r.render(ctx, d, envelope)
	if err != nil {
		return Control{}, err // the envelope stays open, so that it never looks whole
	}
	return c, envelope.Close()
}

// envelopeName tells a file from all others of ours, at any place.
func envelopeName(d *issuance.Delivery) string { return d.Destination + "\x00" + d.Name }

// inside digests what is in the envelope of a file that has the name of d. An
// envelope is different bytes each time: only what is in it can be compared with
// what would be written now. One that is not ours, or was cut short, is [errTaken].
func (r *run) inside(ctx context.Context, place *Place, d *issuance.Delivery) (_ drop.Written, err error) {
	file, err := place.Drop.Open(ctx, path.Join(place.Dir, d.Name))
	if err != nil {
		return drop.Written{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	outside := &watched{r: file}
	content, err := place.Envelope.Unwrap(envelopeName(d), outside)
	sum := newMeter()
	if err == nil {
		_, err = io.Copy(sum, content)
	}
	switch {
	case outside.err != nil:
		return drop.Written{}, outside.err
	case err != nil:
		return drop.Written{}, errTaken
	}
	return sum.written(), nil
}

// announced reads the control file of d back and reports whether it speaks of
// this very delivery and the content found.
func (r *run) announced(ctx context.Context, place *Place, d *issuance.Delivery, found drop.Written) (Control, bool, error) {
	content, err := readAll(ctx, place.Drop, controlName(place, d))
	if errors.Is(err, drop.ErrNotExist) {
		return Control{}, false, nil
	}
	if err != nil {
		return Control{}, false, fmt.Errorf("read control file back: %w", err)
	}
	var c Control
	if err := json.Unmarshal(content, &c); err != nil {
		return Control{}, false, nil //nolint:nilerr // what we cannot read is not ours
	}
	var b *issuance.Batch
	if d.Batch != 0 {
		if b, err = r.batch(ctx, d.Batch); err != nil {
			return Control{}, false, err
		}
	}
	want := newControl(d, b)
	ours := c.File == want.File && c.Kind == want.Kind && c.IssuerID == want.IssuerID && c.Batch == want.Batch &&
		c.Revision == want.Revision && c.CreatedAt == want.CreatedAt &&
		c.Size == found.Size && c.SHA256 == found.SHA256
	return c, ours, nil
}

func readAll(ctx context.Context, from Drop, name string) (_ []byte, err error) {
	file, err := from.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return io.ReadAll(io.LimitReader(file, maxControl))
}

// takeRightSuffix renames a delivery that was planned when its place had another
// envelope, or none: what is in the clear never has the name of an encrypted file.
func (r *run) takeRightSuffix(ctx context.Context, place *Place, d *issuance.Delivery) error {
	base := d.Name[:strings.LastIndex(d.Name, csvEnding)+len(csvEnding)]
	if d.Name == base+place.suffix() {
		return nil
	}
	l, err := r.ledger(ctx, d.Kind)
	if err != nil {
		return err
	}
	if l.names[[2]string{d.Destination, base + place.suffix()}] {
		return r.takeNextName(ctx, d)
	}
	d.Name = base + place.suffix()
	if err := r.store.RenameDelivery(ctx, d.ID, d.Revision, d.Name); err != nil {
		return fmt.Errorf("take the name for the envelope: %w", err)
	}
	return nil
}

// takeNextName moves the plan on to a name that no delivery has.
func (r *run) takeNextName(ctx context.Context, d *issuance.Delivery) error {
	l, err := r.ledger(ctx, d.Kind)
	if err != nil {
		return err
	}
	var b *issuance.Batch
	if d.Batch != 0 {
		if b, err = r.batch(ctx, d.Batch); err != nil {
			return err
		}
	}
	taken := d.Name
	for l.names[[2]string{d.Destination, d.Name}] {
		d.Revision++
		d.Name = r.fileName(d, b)
	}
	if err := r.store.RenameDelivery(ctx, d.ID, d.Revision, d.Name); err != nil {
		return fmt.Errorf("take the next name: %w", err)
	}
	r.log.Warn().Str("stage", "report").Str("issuer", d.IssuerID).Str("source", d.Source).Str("file", taken).
		Msgf("another file has this name and no control file of ours; the report goes to %s", d.Name)
	return nil
}

func controlName(place *Place, d *issuance.Delivery) string {
	return path.Join(place.Dir, d.Name+".ctl")
}

// render writes a report's content and returns its control file, still without
// size and checksum.
func (r *run) render(ctx context.Context, d *issuance.Delivery, w io.Writer) (Control, error) {
	if d.Kind == issuance.DeliverStatus {
		return r.renderStatus(ctx, d, w)
	}
	if d.Kind == issuance.DeliverExceptions {
		return r.renderExceptions(ctx, d, w)
	}
	b, err := r.store.BatchByNo(ctx, d.Batch) // it may have closed since the plan
	if err != nil {
		return Control{}, err
	}
	if d.Kind == issuance.DeliverReceipt {
		return r.renderReceipt(ctx, d, &b, w)
	}
	if b.Kind == issuance.BatchChanges {
		return r.renderChanges(ctx, d, &b, w)
	}
	return r.renderReconciliation(ctx, d, &b, w)
}

// meter digests what is written to it.
type meter struct {
	size int64
	sum  hash.Hash
}

func newMeter() *meter { return &meter{sum: sha256.New()} }

func (m *meter) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	return m.sum.Write(p)
}

func (m *meter) written() drop.Written {
	return drop.Written{Size: m.size, SHA256: hex.EncodeToString(m.sum.Sum(nil))}
}

// watched remembers whether reading itself failed.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
