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
	pans                    panSet // of the rows stored so far
}

// chunk is a run of rows on their way into the store.
type chunk struct {
	records []orderfile.Record
	rows    rows
	done    chan error // gets one value when rows is complete
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
	makeRows := s.makeRows(src, b)
	m := &meter{r: f, sum: sha256.New(), limit: src.MaxBytes}
	result := loaded{products: announced(b.Control)}

	group, ctx := errgroup.WithContext(ctx)
	work := make(chan *chunk)
	ordered := make(chan *chunk, 2*s.Workers)
	group.Go(func() error {
		defer close(work)
		defer close(ordered)
		return s.decode(ctx, src, m, &result, makeRows, func(c *chunk) error { return hand(ctx, c, ordered, work) })
	})
	for range s.Workers {
		group.Go(func() error {
			for c := range work {
				c.done <- c.prepare()
			}
			return nil
		})
	}
	group.Go(func() error { return s.write(ctx, ordered, &result) })
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
func (s *Stage) decode(ctx context.Context, src *Source, m *meter, result *loaded, makeRows func() rows, emit func(*chunk) error) error {
	in, err := src.unwrap(m)
	if err != nil {
		return m.judge(src, result, err)
	}
	d, err := orderfile.NewDecoder(in, orderfile.Options{Layout: src.Layout})
	if err != nil {
		return m.judge(src, result, err)
	}
	c := newChunk(makeRows())
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
		if rec.Row != nil {
			if _, announced := result.products[rec.Row.CardProductID]; announced {
				result.products[rec.Row.CardProductID]++
			}
		}
		if c.records = append(c.records, rec); len(c.records) == chunkRows {
			if err := emit(c); err != nil {
				return err
			}
			c = newChunk(makeRows())
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

func newChunk(rows rows) *chunk {
	return &chunk{records: make([]orderfile.Record, 0, chunkRows), rows: rows, done: make(chan error, 1)}
}

// prepare checks, encrypts and seals the rows of a chunk. Afterwards no clear
// data of the chunk is referred to any more.
func (c *chunk) prepare() error {
	for i := range c.records {
		if err := c.rows.add(&c.records[i]); err != nil {
			return fmt.Errorf("line %d: %w", c.records[i].Line, err)
		}
	}
	c.records = nil
	return nil
}

// write stores the chunks in the order of the file.
func (s *Stage) write(ctx context.Context, ordered <-chan *chunk, result *loaded) error {
	for c := range ordered {
		select {
		case err := <-c.done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.rows.store(ctx, result); err != nil {
			return fmt.Errorf("store rows: %w", err)
		}
	}
	return nil
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
