package sftp

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

	pkgsftp "github.com/pkg/sftp"

	"cardbatch/internal/drop"
)

var (
	errNoDirectory = errors.New("the directory is missing on the server: create it or correct the configuration")
	errDenied      = errors.New("the server denies it")
)

// List implements [drop.Drop].
func (d *Drop) List(ctx context.Context, dir string) ([]drop.Entry, error) {
	if err := drop.CheckDir(dir); err != nil {
		return nil, d.fail("list", dir, err)
	}
	var found []fs.FileInfo
	err := d.do(ctx, func(c *conn) error {
		var err error
		found, err = c.sftp.ReadDirContext(ctx, d.path(dir))
		return err
	})
	if err != nil {
		return nil, d.fail("list", dir, err)
	}
	entries := make([]drop.Entry, 0, len(found))
	for _, info := range found {
		// A name with a slash would be a path to elsewhere.
		if info.Mode().IsRegular() && drop.CheckName(info.Name()) == nil && !strings.Contains(info.Name(), "/") {
			entries = append(entries, entryOf(info))
		}
	}
	slices.SortFunc(entries, func(a, b drop.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Rename implements [drop.Drop].
func (d *Drop) Rename(ctx context.Context, from, to string) error {
	return d.rename(ctx, from, to, true)
}

func (d *Drop) rename(ctx context.Context, from, to string, look bool) error {
	if err := errors.Join(drop.CheckName(from), drop.CheckName(to)); err != nil {
		return d.fail("rename", from+" to "+to, err)
	}
	err := d.do(ctx, func(c *conn) error {
		if _, err := c.sftp.Lstat(d.path(to)); err == nil {
			return drop.ErrExist
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		c.sent = true
		if err := c.sftp.Rename(d.path(from), d.path(to)); err != nil {
			return d.whyNotRenamed(c, from, to, err)
		}
		if !look {
			return nil
		}
		_, err := c.sftp.Lstat(d.path(to))
		if errors.Is(err, fs.ErrNotExist) {
			return d.whyNotThere(c, from)
		}
		return err
	})
	if err != nil {
		return d.fail("rename", from+" to "+to, err)
	}
	return nil
}

// whyNotThere makes sense of a success without a file: some servers answer so
// when there was nothing to rename, because somebody else took it. While the
// file is still where it was, it must not look as if it was taken.
func (d *Drop) whyNotThere(c *conn, from string) error {
	switch _, err := c.sftp.Lstat(d.path(from)); {
	case errors.Is(err, fs.ErrNotExist):
		return drop.ErrNotExist
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: the server reported success but the file is not there", drop.ErrUnverified)
}

// whyNotRenamed makes sense of a refusal: servers say no more than "failure"
// when the target exists, and "no such file" for a missing directory, too.
func (d *Drop) whyNotRenamed(c *conn, from, to string, refusal error) error {
	if !isAnswer(refusal) {
		return refusal
	}
	switch _, err := c.sftp.Lstat(d.path(from)); {
	case errors.Is(err, fs.ErrNotExist):
		return drop.ErrNotExist
	case err != nil:
		return err
	}
	switch _, err := c.sftp.Lstat(d.path(to)); {
	case err == nil:
		return drop.ErrExist
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	switch _, err := c.sftp.Stat(d.path(path.Dir(to))); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", path.Dir(to), errNoDirectory)
	case err != nil:
		return err
	}
	if errors.Is(refusal, fs.ErrNotExist) {
		return fmt.Errorf("%w: %v", errDenied, refusal) //nolint:errorlint // the file is there; ErrNotExist would say it is not
	}
	return refusal
}

// Put implements [drop.Drop].
func (d *Drop) Put(ctx context.Context, name string, content func(io.Writer) error) (drop.Written, error) {
	return drop.Put(ctx, putFiles{d}, name, content)
}

// putFiles renames without looking, because Put looks itself and knows better
// what a missing file means there.
type putFiles struct{ *Drop }

// Rename implements [drop.Files].
func (f putFiles) Rename(ctx context.Context, from, to string) error {
	return f.rename(ctx, from, to, false)
}

// Stat implements [drop.Files].
func (d *Drop) Stat(ctx context.Context, name string) (drop.Entry, error) {
	if err := drop.CheckName(name); err != nil {
		return drop.Entry{}, d.fail("stat", name, err)
	}
	var info fs.FileInfo
	err := d.do(ctx, func(c *conn) error {
		var err error
		info, err = c.sftp.Lstat(d.path(name))
		return err
	})
	if err != nil {
		return drop.Entry{}, d.fail("stat", name, err)
	}
	return entryOf(info), nil
}

// Remove implements [drop.Files]. It removes a file, never a directory.
func (d *Drop) Remove(ctx context.Context, name string) error {
	if err := drop.CheckName(name); err != nil {
		return d.fail("remove", name, err)
	}
	err := d.do(ctx, func(c *conn) error { return c.sftp.Remove(d.path(name)) })
	if err != nil {
		return d.fail("remove", name, err)
	}
	return nil
}

// Open implements [drop.Drop]. The file has a connection for itself until it
// is closed.
func (d *Drop) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r := &reader{size: firstRead}
	err := d.open(ctx, "open", name, &r.handle, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Create implements [drop.Files].
func (d *Drop) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	w := &writer{}
	if err := d.open(ctx, "create", name, &w.handle, os.O_WRONLY|os.O_CREATE|os.O_EXCL); err != nil {
		return nil, err
	}
	return w, nil
}

func (d *Drop) path(name string) string { return path.Join(d.cfg.Root, name) }

// fail names the operation, the file, the user and the server.
func (d *Drop) fail(op, name string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: ask the owner of the server for the right", err)
	}
	return fmt.Errorf("%s %s on sftp://%s@%s/%s: %w",
		op, name, d.cfg.User, d.cfg.Address, strings.TrimPrefix(d.cfg.Root, "/"), err)
}

func entryOf(info fs.FileInfo) drop.Entry {
	return drop.Entry{Name: info.Name(), Size: info.Size(), ModTime: info.ModTime().UTC()}
}

// handle is an open file and the connection it occupies.
type handle struct {
	drop   *Drop
	name   string
	ctx    context.Context // the context of Open bounds the use of the file
	cancel func()
	conn   *conn
	file   *pkgsftp.File
}

// open opens a file and keeps the connection. Creating is not repeated.
func (d *Drop) open(ctx context.Context, op, name string, h *handle, flags int) error {
	if err := drop.CheckName(name); err != nil {
		return d.fail(op, name, err)
	}
	ctx, cancel := d.bounded(ctx)
	h.drop, h.name, h.ctx, h.cancel = d, name, ctx, cancel
	for fresh := false; ; fresh = true {
		c, reused, err := d.acquire(ctx, fresh)
		if err != nil {
			cancel()
			return d.fail(op, name, err)
		}
		h.conn = c
		err = c.run(ctx, func() error {
			var err error
			h.file, err = c.sftp.OpenFile(d.path(name), flags)
			return err
		})
		if err == nil {
			return nil
		}
		again := reused && flags == os.O_RDONLY && !c.alive() && ctx.Err() == nil
		d.release(c)
		if !again {
			err = d.explain(ctx, err)
			cancel()
			return d.fail(op, name, err)
		}
	}
}

// run calls the library for the open file.
func (h *handle) run(op string, call func() error) error {
	if h.file == nil {
		return h.drop.fail(op, h.name, fs.ErrClosed)
	}
	if err := h.conn.run(h.ctx, call); err != nil {
		return h.drop.fail(op, h.name, h.drop.explain(h.ctx, err))
	}
	return nil
}

// release gives the connection back after the file was closed; when it could
// not be, the server still holds it open, and ends that with the connection.
func (h *handle) release(closeErr error) {
	if closeErr != nil {
		h.conn.kill(closeErr)
	}
	h.file = nil
	h.cancel()
	h.drop.release(h.conn)
}
