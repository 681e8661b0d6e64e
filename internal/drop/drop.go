package drop

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"
)

// The errors of a drop, for errors.Is.
var (
	// ErrNotExist: the file named is not there (any more).
	ErrNotExist = fs.ErrNotExist
	// ErrExist: the target is there already and was left alone.
	ErrExist = fs.ErrExist
	// ErrUnavailable: the drop cannot be worked with at the moment, whatever
	// the file. The outcome of a Rename or Put that fails so is unknown.
	ErrUnavailable = errors.New("file drop unavailable")
	// ErrUnverified: the drop reported success, but what it should have done
	// cannot be seen.
	ErrUnverified = errors.New("unverified")
	// ErrName: the name is not a clean relative path.
	ErrName = errors.New("not a clean relative path")
)

// Drop is the whole port. Consumers declare the few methods they need.
//
// A Drop is safe for concurrent use. Every method gives up when its context
// is done; the context given to Open also bounds the reading.
type Drop interface {
	// List returns the regular files of a directory sorted by name, hidden
	// ones included; not directories, links or devices.
	List(ctx context.Context, dir string) ([]Entry, error)
	// Stat looks at a file, like List at all; ErrNotExist when it is not there.
	Stat(ctx context.Context, name string) (Entry, error)
	// Open reads a file from its beginning, once, in bounded memory.
	// A file whose end is not where its size says is an error, not an EOF.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Rename moves a file within the drop, never onto another (ErrExist).
	// ErrNotExist means that from is gone; a missing target directory is
	// another error.
	Rename(ctx context.Context, from, to string) error
	// Put writes a file as [Put] describes.
	Put(ctx context.Context, name string, content func(io.Writer) error) (Written, error)
	// Close ends all connections. Open files and running calls fail.
	Close() error
}

// Entry is a regular file in a directory.
type Entry struct {
	// Name is the last element of the path.
	Name string
	// Size is in bytes.
	Size int64
	// ModTime comes from the drop's clock (UTC), often with a resolution of
	// a second: compare observations of it, never with our own clock.
	ModTime time.Time
}

// Written says what a file written or read holds.
type Written struct {
	// Size is in bytes.
	Size int64
	// SHA256 is in lower-case hexadecimal digits.
	SHA256 string
}

// Hidden reports whether the last element of a name begins with a dot, as the
// temporary files of this package and of most uploading tools do.
func Hidden(name string) bool {
	return strings.HasPrefix(name[strings.LastIndexByte(name, '/')+1:], ".")
}

// CheckName reports whether a name can be used with a drop: a relative path
// without empty, "." or ".." elements. Bytes that are not UTF-8 are let
// through, because such files exist and must be moved out of the way.
func CheckName(name string) error {
	if name == "" || strings.ContainsAny(name, "\x00\r\n") {
		return ErrName
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." {
			return ErrName
		}
	}
	return nil
}

// CheckDir is CheckName for a directory, which may also be the root, ".".
func CheckDir(dir string) error {
	if dir == "." {
		return nil
	}
	return CheckName(dir)
}
