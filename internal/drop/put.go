package drop

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"time"
	"unicode/utf8"
)

// Files is what an adapter offers to have its Put made by [Put].
type Files interface {
	// Stat looks at a file; ErrNotExist when it is not there.
	Stat(ctx context.Context, name string) (Entry, error)
	// Create makes a new file; ErrExist when there is one. Close makes it
	// durable where the adapter can.
	Create(ctx context.Context, name string) (io.WriteCloser, error)
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	Rename(ctx context.Context, from, to string) error
	Remove(ctx context.Context, name string) error
}

// cleanUpTime bounds the removal of a temporary file after a failure, which
// must also happen when the caller's context is what failed.
const cleanUpTime = 5 * time.Second

// bufferSize is how much content is collected before it is written: two SFTP
// packets.
const bufferSize = 64 << 10

// Put writes a file so that it is seen complete or not at all: content goes
// under a temporary name beside the final one, is read back and compared in
// size and SHA-256, and gets its name in the end, never replacing a file
// (ErrExist, noticed before content is asked for). The temporary file is
// removed when anything fails. Memory is constant.
//
// An error of content is returned as it is, wrapped.
func Put(ctx context.Context, files Files, name string, content func(io.Writer) error) (_ Written, err error) {
	if err := CheckName(name); err != nil {
		return Written{}, fmt.Errorf("put %q: %w", name, err)
	}
	if err := absent(ctx, files, name); err != nil {
		return Written{}, fmt.Errorf("put %s: %w", name, err)
	}
	temp := tempName(name)
	defer func() {
		if err != nil {
			removeTemp(ctx, files, temp)
		}
	}()
	sent, err := write(ctx, files, temp, content)
	if err != nil {
		return Written{}, fmt.Errorf("put %s: %w", name, err)
	}
	if err := verify(ctx, files, temp, sent); err != nil {
		return Written{}, fmt.Errorf("put %s: %w", name, err)
	}
	if err := publish(ctx, files, temp, name, sent); err != nil {
		return Written{}, fmt.Errorf("put %s: %w", name, err)
	}
	return sent, nil
}

// Checksum reads a file and returns its size and SHA-256. After an ErrExist
// it tells a file of our own, from an attempt whose answer got lost, from a
// stranger.
func Checksum(ctx context.Context, d interface {
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}, name string) (_ Written, err error) {
	r, err := d.Open(ctx, name)
	if err != nil {
		return Written{}, fmt.Errorf("checksum: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum := newMeter(io.Discard)
	if _, err := io.Copy(sum, r); err != nil {
		return Written{}, fmt.Errorf("checksum: %w", err)
	}
	return sum.written(), nil
}

func absent(ctx context.Context, files Files, name string) error {
	switch _, err := files.Stat(ctx, name); {
	case err == nil:
		return ErrExist
	case errors.Is(err, ErrNotExist):
		return nil
	default:
		return err
	}
}

// tempName is hidden, in the same directory (a rename across file systems
// would be a copy), unique, and tells an operator whose it is.
func tempName(name string) string {
	dir, base := path.Split(name)
	const most = 160 // bytes; file systems allow 255 for a name
	if len(base) > most {
		base = base[:most]
		for !utf8.ValidString(base) && len(base) > most-utf8.UTFMax {
			base = base[:len(base)-1]
		}
	}
	return dir + "." + base + "." + rand.Text()[:16] + ".part"
}

func write(ctx context.Context, files Files, temp string, content func(io.Writer) error) (Written, error) {
	file, err := files.Create(ctx, temp)
	if err != nil {
		return Written{}, fmt.Errorf("create temporary file: %w", err)
	}
	sum := newMeter(file)
	buffer := bufio.NewWriterSize(sum, bufferSize)
	err = content(buffer)
	if err == nil {
		err = buffer.Flush()
	}
	if err == nil {
		err = ctx.Err()
	}
	if closeErr := file.Close(); closeErr != nil && err == nil {
		err = fmt.Errorf("close temporary file: %w", closeErr)
	}
	return sum.written(), err
}

func verify(ctx context.Context, files Files, temp string, sent Written) error {
	entry, err := files.Stat(ctx, temp)
	if errors.Is(err, ErrNotExist) {
		return fmt.Errorf("%w: the file is missing after it was written", ErrUnverified)
	}
	if err != nil {
		return fmt.Errorf("look at temporary file: %w", err)
	}
	if entry.Size != sent.Size {
		return fmt.Errorf("%w: wrote %d bytes, the file has %d", ErrUnverified, sent.Size, entry.Size)
	}
	got, err := Checksum(ctx, files, temp)
	switch {
	case errors.Is(err, ErrNotExist):
		return fmt.Errorf("%w: the file is missing after it was written", ErrUnverified)
	case err != nil:
		return fmt.Errorf("read back: %w", err)
	case got != sent:
		return fmt.Errorf("%w: wrote %d bytes with SHA-256 %s, read back %d with %s",
			ErrUnverified, sent.Size, sent.SHA256, got.Size, got.SHA256)
	}
	return nil
}

// publish gives the file its name and looks whether it has it. A reader on
// the other side may take the file the moment it appears: that it is gone
// under both names is therefore a success.
func publish(ctx context.Context, files Files, temp, name string, sent Written) error {
	if err := files.Rename(ctx, temp, name); err != nil {
		return err
	}
	entry, err := files.Stat(ctx, name)
	switch {
	case err == nil && entry.Size != sent.Size:
		return fmt.Errorf("%w: the file has %d bytes after the rename, not %d", ErrUnverified, entry.Size, sent.Size)
	case err == nil:
		return nil
	case !errors.Is(err, ErrNotExist):
		return fmt.Errorf("look at renamed file: %w", err)
	}
	switch _, err := files.Stat(ctx, temp); {
	case errors.Is(err, ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at temporary file: %w", err)
	}
	return fmt.Errorf("%w: the server reported a rename that it did not make", ErrUnverified)
}

// removeTemp does its best: what stays is hidden and does no harm.
func removeTemp(ctx context.Context, files Files, temp string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	_ = files.Remove(ctx, temp)
}

// meter counts and hashes what passes.
type meter struct {
	to   io.Writer
	size int64
	sum  hash.Hash
}

func newMeter(to io.Writer) *meter { return &meter{to: to, sum: sha256.New()} }

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.to.Write(p)
	m.size += int64(n)
	m.sum.Write(p[:n])
	return n, err
}

func (m *meter) written() Written {
	return Written{Size: m.size, SHA256: hex.EncodeToString(m.sum.Sum(nil))}
}
