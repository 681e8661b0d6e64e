package drop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

var errBroken = errors.New("broken")

// memory is a drop in memory whose n-th call fails.
type memory struct {
	files  map[string]*bytes.Buffer
	failAt int // counted from 1; 0 never
	calls  int
	// tamper changes what is stored after a close.
	tamper func(name string, b *bytes.Buffer)
	// afterRename runs behind the caller's back.
	afterRename func(to string)
	lieRename   bool
}

func newMemory() *memory { return &memory{files: map[string]*bytes.Buffer{}} }

func (m *memory) call() error {
	if m.calls++; m.calls == m.failAt {
		return errBroken
	}
	return nil
}

func (m *memory) Stat(_ context.Context, name string) (Entry, error) {
	if err := m.call(); err != nil {
		return Entry{}, err
	}
	b, ok := m.files[name]
	if !ok {
		return Entry{}, ErrNotExist
	}
	return Entry{Name: name, Size: int64(b.Len())}, nil
}

func (m *memory) Create(_ context.Context, name string) (io.WriteCloser, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	if m.files[name] != nil {
		return nil, ErrExist
	}
	m.files[name] = &bytes.Buffer{}
	return &memoryFile{m, name}, nil
}

func (m *memory) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	b, ok := m.files[name]
	if !ok {
		return nil, ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b.Bytes())), nil
}

func (m *memory) Rename(_ context.Context, from, to string) error {
	if err := m.call(); err != nil {
		return err
	}
	if m.files[to] != nil {
		return ErrExist
	}
	if !m.lieRename {
		m.files[to] = m.files[from]
		delete(m.files, from)
	}
	if m.afterRename != nil {
		m.afterRename(to)
	}
	return nil
}

func (m *memory) Remove(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	delete(m.files, name)
	return nil
}

type memoryFile struct {
	m    *memory
	name string
}

func (f *memoryFile) Write(p []byte) (int, error) {
	if err := f.m.call(); err != nil {
		return 0, err
	}
	return f.m.files[f.name].Write(p)
}

func (f *memoryFile) Close() error {
	if err := f.m.call(); err != nil {
		return err
	}
	if f.m.tamper != nil {
		f.m.tamper(f.name, f.m.files[f.name])
	}
	return nil
}

func hello(w io.Writer) error {
	_, err := io.WriteString(w, "hello")
	return err
}

// TestPutEveryCallFailsOnce: whatever fails, there is the whole file or none,
// no temporary file, and the error is passed on.
func TestPutEveryCallFailsOnce(t *testing.T) {
	whole := newMemory()
	want, err := Put(t.Context(), whole, "out/a", hello)
	if err != nil {
		t.Fatal(err)
	}
	if want.Size != 5 || want.SHA256 != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
		t.Errorf("written %+v", want)
	}
	for failAt := 1; failAt <= whole.calls; failAt++ {
		m := newMemory()
		m.failAt = failAt
		if _, err := Put(t.Context(), m, "out/a", hello); !errors.Is(err, errBroken) {
			t.Errorf("call %d fails: error %v", failAt, err)
		}
		for name, b := range m.files {
			if name != "out/a" || b.String() != "hello" {
				t.Errorf("call %d fails: %s is left with %q", failAt, name, b)
			}
		}
	}
}

func TestPutDiscoversLies(t *testing.T) {
	for name, m := range map[string]*memory{
		"cut":      {tamper: func(_ string, b *bytes.Buffer) { b.Truncate(3) }},
		"emptied":  {tamper: func(_ string, b *bytes.Buffer) { b.Reset() }},
		"longer":   {tamper: func(_ string, b *bytes.Buffer) { b.WriteByte('!') }},
		"changed":  {tamper: func(_ string, b *bytes.Buffer) { b.Bytes()[0] ^= 1 }},
		"no move":  {lieRename: true},
		"swapped":  {afterRename: nil},
		"vanished": {},
	} {
		m.files = map[string]*bytes.Buffer{}
		switch name {
		case "swapped":
			m.afterRename = func(to string) { m.files[to] = bytes.NewBufferString("other content") }
		case "vanished":
			m.tamper = func(name string, _ *bytes.Buffer) { delete(m.files, name) }
		}
		if _, err := Put(t.Context(), m, "out/a", hello); !errors.Is(err, ErrUnverified) || errors.Is(err, ErrNotExist) {
			t.Errorf("%s: error %v", name, err)
		}
		for left := range m.files {
			if Hidden(left) {
				t.Errorf("%s: %s is left", name, left)
			}
		}
	}
}

func TestPutTakenAtOnce(t *testing.T) {
	m := newMemory()
	m.afterRename = func(to string) { delete(m.files, to) }
	if _, err := Put(t.Context(), m, "out/a", hello); err != nil {
		t.Errorf("a reader took the file as soon as it appeared: %v", err)
	}
}

func TestPutCancelledCleansUp(t *testing.T) {
	m := newMemory()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Put(ctx, m, "out/a", func(w io.Writer) error {
		cancel()
		return hello(w)
	})
	if !errors.Is(err, context.Canceled) || len(m.files) != 0 {
		t.Errorf("error %v, %d files left", err, len(m.files))
	}
}

func TestPutErrorNamesTheFile(t *testing.T) {
	m := newMemory()
	m.failAt = 2
	_, err := Put(t.Context(), m, "out/a", hello)
	if want := "put out/a: create temporary file: broken"; fmt.Sprint(err) != want {
		t.Errorf("error %q, want %q", err, want)
	}
}
