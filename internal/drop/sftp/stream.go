package sftp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	pkgsftp "github.com/pkg/sftp"
)

// Reading starts small, for small files, and grows until enough requests are
// in flight to fill a long line: 32 of 32 KiB.
const (
	firstRead = 2 * maxPacket
	largeRead = 32 * maxPacket
)

// reader reads ahead, by as much as size, with concurrent requests.
type reader struct {
	handle
	buffer []byte // read and not handed out
	space  []byte
	size   int   // of the next read
	offset int64 // of the next read
	short  bool  // a read came back short: only single requests from here
	err    error
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if len(r.buffer) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.buffer) == 0 {
		return 0, r.err
	}
	n := copy(p, r.buffer)
	r.buffer = r.buffer[n:]
	return n, nil
}

// fill reads on. The library takes any short answer for the end of the file,
// which it is not on servers with small packets; so the end is only where
// nothing comes any more, and where the file's size says.
func (r *reader) fill() {
	if len(r.space) < r.size {
		r.space = make([]byte, r.size)
	}
	n, eof := 0, false
	err := r.run("read", func() error {
		var err error
		n, err = r.file.ReadAt(r.space[:r.size], r.offset)
		if err == io.EOF { //nolint:errorlint // a lost connection wraps io.EOF
			eof, err = true, nil
		}
		return err
	})
	r.buffer = r.space[:n]
	r.offset += int64(n)
	switch {
	case err != nil:
		r.err = err
	case eof && n == 0:
		r.err = r.end()
	case eof:
		r.short, r.size = true, maxPacket
	case !r.short:
		r.size = min(2*r.size, largeRead)
	}
}

// end is io.EOF if the file has no more than was read. Asking the server also
// proves that it was the file that ended, and not the connection.
func (r *reader) end() error {
	var info fs.FileInfo
	err := r.run("read", func() error {
		var err error
		info, err = r.file.Stat()
		return err
	})
	switch {
	case err != nil && isAnswer(err):
		return io.EOF // servers that do not look at open files, or have taken a file away that was read
	case err != nil:
		return err
	case info.Size() != r.offset:
		return r.drop.fail("read", r.name, fmt.Errorf("%w: the file has %d bytes but ended after %d: it is being changed",
			io.ErrUnexpectedEOF, info.Size(), r.offset))
	}
	return io.EOF
}

// Close gives the connection back. What there was to know was known at the
// end of the file.
func (r *reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.run("close", r.file.Close)
	r.release(err)
	r.buffer, r.err = nil, fs.ErrClosed
	return nil
}

// writer writes one request after the other: concurrent ones could leave holes
// after an error.
type writer struct{ handle }

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (int, error) {
	n := 0
	err := w.run("write", func() error {
		var err error
		n, err = w.file.Write(p)
		return err
	})
	return n, err
}

// Close makes the file durable, where the server offers that, and closes it.
func (w *writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.run("close", func() error {
		err := w.file.Sync()
		if status := new(pkgsftp.StatusError); errors.As(err, &status) || errors.Is(err, fs.ErrPermission) {
			err = nil // not offered, or refused as some do after an upload
		}
		if err != nil {
			return err
		}
		return w.file.Close()
	})
	w.release(err)
	return err
}
