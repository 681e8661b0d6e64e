package d1

import (
	"errors"
	"io"
	"sync"
)

var errSealed = errors.New("the call is over")

// onceBody is the body of an order on its way out. It can be read once, and
// not at all after seal, so that it is certain whether D1 can have it.
//
// Looking at what the transport has done so far would not be enough: when a
// call ends early, the goroutine that writes the request may still be about to
// read the body.
type onceBody struct {
	mu      sync.Mutex
	rest    []byte
	started bool
	sealed  bool
}

func newOnceBody(content []byte) *onceBody { return &onceBody{rest: content} }

// Read implements [io.Reader].
func (b *onceBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed {
		return 0, errSealed
	}
	b.started = true
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close implements [io.Closer].
func (b *onceBody) Close() error { return nil }

// seal ends all reading and reports whether any had begun.
func (b *onceBody) seal() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	return b.started
}
