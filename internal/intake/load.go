package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// chunkRows is how many rows travel together from the decoder through a worker
// into one transaction: enough to make the commit cheap, few enough that the
// rows in flight stay a few megabytes whatever the size of the file.
const chunkRows = 256

// loaded is what one pass over a file found.
type loaded struct {
	rows           int64
	size           int64            // with sha256 known only of a file that was read to its end
	sha256         string           // in hexadecimal digits
	products       map[string]int64 // rows of the products that the control file counts
	endedInsideRow bool
	fault          verdict // why the file cannot be read to its end
	// Rows of no product that the control file counts: those rejected, which
	// may be of any, and the good ones.
	unattributed, uncounted int64
}

// chunk is a run of rows on their way into the store.
type chunk struct {
	records []orderfile.Record
	orders  []issuance.NewOrder
	done    chan error // gets one value when orders is complete
}

// load reads the hidden file once and stores its rows. The decoder feeds
// chunks to the workers and, in the same order, to the writer, so that rows
// are stored in the order of the file: the first of two equal order_ids wins,
// whatever the timing.
func (s *Stage) load(ctx context.Context, src *Source, b *issuance.Batch) (_ loaded, err error) {
	f, err := src.Drop.Open(ctx, path.Join(src.Directory, takenName(b, b.FileName)))
	if errors.Is(err, fs.ErrPermission) {
		// Waiting for the right would keep the issuer's other files waiting, too.
		return loaded{fault: refuse(issuance.FileUnreadable, "the file may not be read: permission denied")}, nil
	}
	if err != nil {
		return loaded{}, &troubleError{fmt.Errorf("open %s: %w", b.FileName, err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	rules := src.Rules(s.Now())
	m := &meter{r: f, sum: sha256.New(), limit: src.MaxBytes}
	result := loaded{products: announced(b.Control)}

	group, ctx := errgroup.WithContext(ctx)
	work := make(chan *chunk)
	ordered := make(chan *chunk, 2*s.Workers)
	group.Go(func() error {
		defer close(work)
		defer close(ordered)
		return s.decode(ctx, src, m, &result, func(c *chunk) error { return hand(ctx, c, ordered, work) })
	})
	for range s.Workers {
		group.Go(func() error {
			for c := range work {
				c.done <- s.prepare(src, rules, b, c)
			}
			return nil
		})
	}
	group.Go(func() error { return s.write(ctx, b, ordered, &result) })
	if err := group.Wait(); err != nil {
		return loaded{}, fmt.Errorf("load %s: %w", b.FileName, err)
	}
	if m.ended {
		result.size, result.sha256 = m.n, hex.EncodeToString(m.sum.Sum(nil))
	}
	return result, nil
}

// announced returns a counter for each product that the control file counts.
// Others are not counted: a garbled file must not fill the memory with names.
func announced(c *issuance.Control) map[string]int64 {
	counts := map[string]int64{}
	if c != nil {
		for id := range c.Products {
			counts[id] = 0
		}
	}
	return counts
}

// hand gives a chunk to the writer's queue, then to the workers.
func hand(ctx context.Context, c *chunk, ordered, work chan<- *chunk) error {
	for _, to := range []chan<- *chunk{ordered, work} {
		select {
		case to <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// decode reads rows until the file ends or cannot be read on. What is wrong
// with the file becomes result.fault; the error is for reading that may succeed
// another time.
func (s *Stage) decode(ctx context.Context, src *Source, m *meter, result *loaded, emit func(*chunk) error) error {
	in, err := src.unwrap(m)
	if err != nil {
		return m.judge(src, result, err)
	}
	d, err := orderfile.NewDecoder(in, orderfile.Options{Layout: src.Layout})
	if err != nil {
		return m.judge(src, result, err)
	}
	c := newChunk()
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			result.endedInsideRow = d.EndedInsideRow()
			break
		}
		if err != nil {
			return m.judge(src, result, err)
		}
		if result.rows++; result.rows > min(src.MaxRows, issuance.MaxRows) {
			result.fault = refuse(issuance.TooLarge, "the file has more than %d rows", min(src.MaxRows, issuance.MaxRows))
			return nil
		}
		if _, announced := result.products[rec.Row.CardProductID]; announced {
			result.products[rec.Row.CardProductID]++
		}
		if c.records = append(c.records, rec); len(c.records) == chunkRows {
			if err := emit(c); err != nil {
				return err
			}
			c = newChunk()
		}
	}
	if len(c.records) > 0 {
		return emit(c)
	}
	return ctx.Err()
}

func (src *Source) unwrap(r io.Reader) (io.Reader, error) {
	if src.Unwrap == nil {
		return r, nil
	}
	return src.Unwrap(r)
}

func newChunk() *chunk {
	return &chunk{records: make([]orderfile.Record, 0, chunkRows), done: make(chan error, 1)}
}

// prepare checks, encrypts and seals the rows of a chunk. Afterwards no clear
// card data of the chunk is referred to any more.
func (s *Stage) prepare(src *Source, rules Checker, b *issuance.Batch, c *chunk) error {
	c.orders = make([]issuance.NewOrder, 0, len(c.records))
	for i := range c.records {
		n, err := s.order(src, rules, b, &c.records[i])
		if err != nil {
			return fmt.Errorf("line %d: %w", c.records[i].Line, err)
		}
		c.orders = append(c.orders, n)
	}
	c.records = nil
	return nil
}

// order makes the order of a row: ready with its sealed request, or rejected
// with everything that is wrong.
func (s *Stage) order(src *Source, rules Checker, b *issuance.Batch, rec *orderfile.Record) (issuance.NewOrder, error) {
	n := issuance.NewOrder{Order: rules.Summary(*rec)}
	n.Ref, n.Line, n.IssuerID = issuance.NewRef(b.No, rec.RowNo), rec.Line, src.IssuerID
	instruction, found := rules.Check(*rec)
	if len(found) > 0 {
		src.Layout.Explain(found)
		for i := range found {
			found[i].Ref, found[i].Line = n.Ref, rec.Line
		}
		n.State, n.Code, n.Reason, n.Errors = issuance.Rejected, found[0].Code, found[0].Text, found
		return n, nil
	}
	n.State = issuance.Ready
	n.ContentMAC = s.Fingerprint.Content(rec.Row.AppendValues(nil)...)
	if instruction.Card != nil {
		n.PANFingerprint = s.Fingerprint.PAN(instruction.Card.PAN)
	}
	body, err := src.Encoder.Encode(instruction)
	if err != nil {
		return n, fmt.Errorf("encode the request for D1: %w", err)
	}
	n.Payload, err = s.Sealer.Seal(body, PayloadAAD(n.IssuerID, n.OrderID))
	if err != nil {
		return n, fmt.Errorf("seal the request for D1: %w", err)
	}
	return n, nil
}

// PayloadAAD binds a sealed payload to its order, so that it cannot be opened
// as another's.
func PayloadAAD(issuerID, orderID string) []byte { return []byte(issuerID + "/" + orderID) }

// write stores the chunks in the order of the file.
func (s *Stage) write(ctx context.Context, b *issuance.Batch, ordered <-chan *chunk, result *loaded) error {
	var pans panSet
	for c := range ordered {
		select {
		case err := <-c.done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		result.attribute(b.Control, c.orders)
		pans.mark(c.orders)
		if err := s.Store.AddOrders(ctx, b.No, c.orders); err != nil {
			return fmt.Errorf("store rows: %w", err)
		}
	}
	return nil
}

// attribute counts the rows of products that the control file does not count.
func (l *loaded) attribute(c *issuance.Control, orders []issuance.NewOrder) {
	if c == nil || len(c.Products) == 0 {
		return
	}
	for i := range orders {
		if _, counted := c.Products[orders[i].ProductID]; counted {
			continue
		}
		if orders[i].State == issuance.Rejected {
			l.unattributed++
		} else {
			l.uncounted++
		}
	}
}

// meter counts and digests what is read, stops at the limit, and remembers
// whether reading itself failed: then the file is not to blame.
type meter struct {
	r     io.Reader
	sum   hash.Hash
	n     int64
	limit int64
	ended bool
	err   error
}

var errTooLarge = errors.New("the file is larger than the source allows")

// Read implements [io.Reader].
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.sum.Write(p[:n])
	if m.n > m.limit {
		return n, errTooLarge
	}
	m.ended = errors.Is(err, io.EOF)
	if err != nil && !m.ended {
		m.err = err
	}
	return n, err
}

// judge tells a file that cannot be understood, which becomes a verdict, from
// one that cannot be read now, which stays an error.
func (m *meter) judge(src *Source, result *loaded, err error) error {
	var header *orderfile.HeaderError
	var format *orderfile.FormatError
	var file *issuance.FileError
	switch {
	case m.err != nil:
		return &troubleError{m.err}
	case errors.Is(err, errTooLarge):
		result.fault = refuse(issuance.TooLarge, "the file is larger than %d bytes", src.MaxBytes)
	case errors.As(err, &file):
		result.fault = refuse(file.Code, "%s", file.Text)
	case errors.As(err, &header):
		result.fault = refuse(issuance.HeaderInvalid, "%v", header)
	case errors.As(err, &format) && format.Code != "":
		result.fault = refuse(format.Code, "%v", format)
	default:
		result.fault = refuse(issuance.FileUnreadable, "%v", err)
	}
	return nil
}
