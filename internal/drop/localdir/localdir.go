// Package localdir is a file drop in a directory of this machine: for the
// demo, for tests, and for sites where another tool carries the files.
//
// It never leaves its directory, not even through symbolic links, and makes
// what it writes durable before it says so: the file is synced when it is
// closed and its directory after the rename.
package localdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"cardbatch/internal/drop"
)

// Drop is a file drop in a directory; it implements [drop.Drop].
type Drop struct {
	root *os.Root
	dir  string

	mu     sync.Mutex
	closed bool
}

var _ drop.Drop = (*Drop)(nil)

// New opens a drop in an existing directory.
func New(dir string) (*Drop, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open drop directory: %w: %w", drop.ErrUnavailable, err)
	}
	return &Drop{root: root, dir: dir}, nil
}

// List implements [drop.Drop].
func (d *Drop) List(ctx context.Context, dir string) ([]drop.Entry, error) {
	if err := d.check(ctx, drop.CheckDir(dir)); err != nil {
		return nil, d.fail("list", dir, err)
	}
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, d.fail("list", dir, err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	var entries []drop.Entry
	for {
		if err := ctx.Err(); err != nil {
			return nil, d.fail("list", dir, err)
		}
		found, err := f.ReadDir(1024)
		for _, e := range found {
			if !e.Type().IsRegular() {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // taken away since
			}
			if err != nil {
				return nil, d.fail("list", dir, err)
			}
			entries = append(entries, entryOf(info))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, d.fail("list", dir, err)
		}
	}
	slices.SortFunc(entries, func(a, b drop.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Open implements [drop.Drop].
func (d *Drop) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := d.check(ctx, drop.CheckName(name)); err != nil {
		return nil, d.fail("open", name, err)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, d.fail("open", name, err)
	}
	return &reader{ctx: ctx, file: f}, nil
}

// Rename implements [drop.Drop].
func (d *Drop) Rename(ctx context.Context, from, to string) error {
	if err := d.check(ctx, errors.Join(drop.CheckName(from), drop.CheckName(to))); err != nil {
		return d.fail("rename", from+" to "+to, err)
	}
	if err := d.rename(from, to); err != nil {
		return d.fail("rename", from+" to "+to, err)
	}
	return nil
}

func (d *Drop) rename(from, to string) error {
	if info, err := d.root.Lstat(from); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	fromDir, err := d.root.Open(path.Dir(from))
	if err != nil {
		return err
	}
	defer fromDir.Close() //nolint:errcheck // opened for reading
	toDir, err := d.root.Open(path.Dir(to))
	if err != nil {
		// Not %w: ErrNotExist would say that the source is gone.
		return fmt.Errorf("directory %s: %v", path.Dir(to), err) //nolint:errorlint // see above
	}
	defer toDir.Close() //nolint:errcheck // opened for reading
	if err := renameNew(d.root, fromDir, toDir, from, to); err != nil {
		return err
	}
	return errors.Join(toDir.Sync(), fromDir.Sync())
}

// linkRename renames where the system has no rename that refuses to replace.
// Of two that take the same file both may link it, but only one can remove
// it: the other undoes its link.
func linkRename(root *os.Root, from, to string) error {
	if err := root.Link(from, to); err != nil {
		return err
	}
	if err := root.Remove(from); err != nil {
		return errors.Join(err, root.Remove(to))
	}
	return nil
}

// Put implements [drop.Drop].
func (d *Drop) Put(ctx context.Context, name string, content func(io.Writer) error) (drop.Written, error) {
	return drop.Put(ctx, d, name, content)
}

// Stat implements [drop.Files].
func (d *Drop) Stat(ctx context.Context, name string) (drop.Entry, error) {
	if err := d.check(ctx, drop.CheckName(name)); err != nil {
		return drop.Entry{}, d.fail("stat", name, err)
	}
	info, err := d.root.Lstat(name)
	if err != nil {
		return drop.Entry{}, d.fail("stat", name, err)
	}
	return entryOf(info), nil
}

// Create implements [drop.Files].
func (d *Drop) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	if err := d.check(ctx, drop.CheckName(name)); err != nil {
		return nil, d.fail("create", name, err)
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	return &writer{ctx: ctx, file: f}, nil
}

// Remove implements [drop.Files].
func (d *Drop) Remove(_ context.Context, name string) error {
	if err := drop.CheckName(name); err != nil {
		return d.fail("remove", name, err)
	}
	if err := d.root.Remove(name); err != nil {
		return d.fail("remove", name, err)
	}
	return nil
}

// Close implements [drop.Drop].
func (d *Drop) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.root.Close()
}

func (d *Drop) check(ctx context.Context, nameErr error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("%w: closed", drop.ErrUnavailable)
	}
	return errors.Join(nameErr, ctx.Err())
}

func (d *Drop) fail(op, name string, err error) error {
	// The error of os repeats the operation and the name, without the root.
	if pathErr := new(fs.PathError); errors.As(err, &pathErr) {
		err = pathErr.Err
	} else if linkErr := new(os.LinkError); errors.As(err, &linkErr) {
		err = linkErr.Err
	}
	return fmt.Errorf("%s %s in %s: %w", op, name, d.dir, err)
}

func entryOf(info fs.FileInfo) drop.Entry {
	return drop.Entry{Name: info.Name(), Size: info.Size(), ModTime: info.ModTime().UTC()}
}

type reader struct {
	ctx  context.Context // the context of Open bounds the reading
	file *os.File
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.Read(p)
}

// Close implements [io.Closer].
func (r *reader) Close() error { return r.file.Close() }

type writer struct {
	ctx  context.Context // the context of Create bounds the writing
	file *os.File
}

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.file.Write(p)
}

// Close makes the file durable.
func (w *writer) Close() error { return errors.Join(w.file.Sync(), w.file.Close()) }
