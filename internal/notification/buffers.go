package notification

import (
	"errors"
	"io"
	"sync"
)

// buffers is the memory of bodies that are being read or stored. One client gets
// half of it at most, so that one that sends slowly leaves room for the others.
type buffers struct {
	all, each int64

	mu   sync.Mutex
	used int64
	by   map[string]int64
}

func newBuffers(all, body int64) *buffers {
	return &buffers{all: all, each: max(all/2, body), by: map[string]int64{}}
}

// add counts bytes of a client, or takes them off, and reports whether there is
// room for what is counted.
func (b *buffers) add(client string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	b.by[client] += n
	mine := b.by[client]
	if mine == 0 {
		delete(b.by, client)
	}
	return b.used <= b.all && mine <= b.each
}

var errBuffersFull = errors.New("the bodies that are being read fill their memory")

// countedReader counts what it has read into buffers.
type countedReader struct {
	from   io.Reader
	into   *buffers
	client string
	mine   int64
}

// Read implements [io.Reader].
func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.mine += int64(n)
	if !c.into.add(c.client, int64(n)) && (err == nil || errors.Is(err, io.EOF)) {
		err = errBuffersFull
	}
	return n, err
}

func (c *countedReader) release() { c.into.add(c.client, -c.mine) }
