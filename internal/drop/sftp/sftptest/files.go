package sftptest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
)

// files answers the requests of one session from the served directory.
type files struct {
	root  *os.Root
	cfg   Config
	fault func(op, path string) error
	open  atomic.Int32 // handles
}

// another counts a handle that is to be opened, unless there is one too many.
func (f *files) another() error {
	if n := f.open.Add(1); f.cfg.OneHandle && n > 1 {
		f.open.Add(-1)
		return sftp.ErrSSHFxFailure
	}
	return nil
}

// do runs an operation unless a fault comes first.
func (f *files) do(op, path string, run func() error) error {
	switch err := f.fault(op, path); {
	case errors.Is(err, Lie):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return sftp.ErrSSHFxPermissionDenied // the library knows only the errors of the system
	case err != nil:
		return err
	}
	return run()
}

// local makes a path of the protocol, absolute and clean, one of the root.
func local(path string) string {
	if path = strings.TrimLeft(path, "/"); path == "" {
		return "."
	}
	return path
}

// Fileread implements [sftp.FileReader].
func (f *files) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	name := local(r.Filepath)
	if err := f.another(); err != nil {
		return nil, err
	}
	h := &handle{files: f, name: name}
	err := f.do("open", name, func() error {
		var err error
		h.file, err = f.root.Open(name)
		return err
	})
	if err != nil {
		f.open.Add(-1)
		return nil, err
	}
	return h, nil
}

// Filewrite implements [sftp.FileWriter].
func (f *files) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	name, flags, mode := local(r.Filepath), r.Pflags(), os.O_WRONLY
	if flags.Creat {
		mode |= os.O_CREATE
	}
	if flags.Excl {
		mode |= os.O_EXCL
	}
	if flags.Trunc {
		mode |= os.O_TRUNC
	}
	if err := f.another(); err != nil {
		return nil, err
	}
	h := &handle{files: f, name: name}
	err := f.do("create", name, func() error {
		var err error
		h.file, err = f.root.OpenFile(name, mode, 0o644)
		return err
	})
	if err != nil {
		f.open.Add(-1)
		return nil, err
	}
	return h, nil
}

// Filecmd implements [sftp.FileCmder].
func (f *files) Filecmd(r *sftp.Request) error {
	name, target := local(r.Filepath), local(r.Target)
	switch r.Method {
	case "Rename":
		return f.do("rename", name, func() error { return f.pretend(f.rename(name, target)) })
	case "Remove":
		return f.do("remove", name, func() error { return f.pretend(f.remove(name, false)) })
	case "Rmdir":
		return f.do("rmdir", name, func() error { return f.remove(name, true) })
	case "Mkdir":
		return f.do("mkdir", name, func() error { return f.root.Mkdir(name, 0o755) })
	case "Setstat":
		return f.do("setstat", name, func() error { return f.setstat(name, r) })
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename implements [sftp.PosixRenameFileCmder]: the library would take
// the plain rename for it.
func (f *files) PosixRename(*sftp.Request) error { return sftp.ErrSSHFxOpUnsupported }

// pretend makes a success of failures that some servers make one of.
func (f *files) pretend(err error) error {
	if f.cfg.FalseSuccess && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)) {
		return nil
	}
	return err
}

// rename is that of OpenSSH: a file is linked under its new name, which fails
// when there is one, and removed under the old; who cannot remove it lost it
// to another and takes his link back.
func (f *files) rename(from, to string) error {
	info, err := f.root.Lstat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if _, err := f.root.Lstat(to); err == nil {
			return fs.ErrExist
		}
		return f.root.Rename(from, to)
	}
	if f.cfg.RenameOverwrites {
		return f.root.Rename(from, to)
	}
	if err := f.root.Link(from, to); err != nil {
		return err
	}
	if err := f.root.Remove(from); err != nil {
		return errors.Join(err, f.root.Remove(to))
	}
	return nil
}

func (f *files) remove(name string, dir bool) error {
	info, err := f.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.IsDir() != dir {
		return sftp.ErrSSHFxFailure
	}
	return f.root.Remove(name)
}

func (f *files) setstat(name string, r *sftp.Request) error {
	if f.cfg.FalseSuccess {
		return nil
	}
	flags, attrs := r.AttrFlags(), r.Attributes()
	if flags.Permissions {
		if err := f.root.Chmod(name, attrs.FileMode().Perm()); err != nil {
			return err
		}
	}
	if flags.Acmodtime {
		return f.root.Chtimes(name, time.Unix(int64(attrs.Atime), 0), time.Unix(int64(attrs.Mtime), 0))
	}
	if flags.Size {
		return sftp.ErrSSHFxOpUnsupported
	}
	return nil
}

// Filelist implements [sftp.FileLister].
func (f *files) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "List":
		return f.list(local(r.Filepath))
	case "Stat":
		return f.stat(local(r.Filepath), f.root.Stat)
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// Lstat implements [sftp.LstatFileLister].
func (f *files) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	return f.stat(local(r.Filepath), f.root.Lstat)
}

func (f *files) stat(name string, stat func(string) (fs.FileInfo, error)) (sftp.ListerAt, error) {
	var found infos
	err := f.do("stat", name, func() error {
		info, err := stat(name)
		found = infos{info}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (f *files) list(name string) (sftp.ListerAt, error) {
	if err := f.another(); err != nil {
		return nil, err
	}
	defer f.open.Add(-1) // all is read at once
	var found infos
	err := f.do("list", name, func() error {
		dir, err := f.root.Open(name)
		if err != nil {
			return err
		}
		defer dir.Close() //nolint:errcheck // opened for reading
		entries, err := dir.ReadDir(-1)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil { // else it went away since
				found = append(found, info)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

type infos []fs.FileInfo

// ListAt implements [sftp.ListerAt].
func (l infos) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

// handle is an open file; file is nil when its opening was a lie.
type handle struct {
	files *files
	name  string
	file  *os.File
}

// ReadAt implements [io.ReaderAt].
func (h *handle) ReadAt(p []byte, offset int64) (int, error) {
	n, eof := 0, io.EOF
	err := h.files.do("read", h.name, func() error {
		if h.file == nil {
			return nil
		}
		if most := h.files.cfg.MaxRead; most > 0 && len(p) > most {
			p = p[:most]
		}
		n, eof = h.file.ReadAt(p, offset)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, eof
}

// WriteAt implements [io.WriterAt].
func (h *handle) WriteAt(p []byte, offset int64) (int, error) {
	n := len(p)
	err := h.files.do("write", h.name, func() error {
		if h.file == nil {
			return nil
		}
		var err error
		n, err = h.file.WriteAt(p, offset)
		return err
	})
	return n, err
}

// Close implements [io.Closer].
func (h *handle) Close() error {
	defer h.files.open.Add(-1)
	err := h.files.do("close", h.name, func() error { return nil })
	if h.file == nil {
		return err
	}
	return errors.Join(err, h.file.Close())
}
