package d1

import (
	"fmt"
	"os"
	"sync"
)

// reread keeps what was made of some files, and makes it anew when a file has
// changed. What cannot be made, as in the middle of a replacement or after a
// bad one, leaves the old in use and is told once. It is safe for concurrent
// use.
type reread[T any] struct {
	files []string
	load  func() (T, error)
	warn  func(error) // may be nil

	mu      sync.Mutex
	current T
	seen    []os.FileInfo // the files when they were last loaded, or failed to
	told    bool          // that the new ones are bad
}

// newReread loads the files for the first time.
func newReread[T any](load func() (T, error), files ...string) (*reread[T], error) {
	r := &reread[T]{files: files, load: load}
	var err error
	if r.seen, err = r.look(); err != nil {
		return nil, err
	}
	if r.current, err = r.load(); err != nil {
		return nil, err
	}
	return r, nil
}

// get returns what the files hold, as far as they hold something good.
func (r *reread[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen, err := r.look()
	if err == nil && sameFiles(r.seen, seen) {
		return r.current
	}
	var fresh T
	if err == nil {
		r.seen = seen // as they were before the loading: what changes meanwhile is seen next time
		fresh, err = r.load()
	}
	if err != nil {
		r.tell(err)
		return r.current
	}
	r.current, r.told = fresh, false
	return r.current
}

// tell reports a bad replacement, once until there is a good one.
func (r *reread[T]) tell(err error) {
	if r.told || r.warn == nil {
		return
	}
	r.told = true
	r.warn(fmt.Errorf("the old one stays in use: %w", err))
}

func (r *reread[T]) look() ([]os.FileInfo, error) {
	infos := make([]os.FileInfo, len(r.files))
	for i, name := range r.files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("look for changes: %w", err)
		}
		infos[i] = info
	}
	return infos, nil
}

// sameFiles tells one content of files from the next. A renewal may keep size
// and time, but it is another file then.
func sameFiles(a, b []os.FileInfo) bool {
	for i := range a {
		if a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) || !os.SameFile(a[i], b[i]) {
			return false
		}
	}
	return true
}
