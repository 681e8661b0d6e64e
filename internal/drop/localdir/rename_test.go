package localdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"cardbatch/internal/drop"
)

func plant(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLinkRename covers the way of file systems without a rename that refuses
// to replace, which the tests' own file system may have.
func TestLinkRename(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // a test
	plant(t, filepath.Join(dir, "a"), "new")
	plant(t, filepath.Join(dir, "b"), "old")
	if err := linkRename(root, "a", "b"); !errors.Is(err, drop.ErrExist) {
		t.Errorf("onto another file: %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "b")); string(b) != "old" {
		t.Errorf("b holds %q", b)
	}
	if err := linkRename(root, "missing", "c"); !errors.Is(err, drop.ErrNotExist) {
		t.Errorf("what is gone: %v", err)
	}
	for round := range 50 {
		plant(t, filepath.Join(dir, "a"), "x")
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = linkRename(root, "a", fmt.Sprintf("%d-%d", round, i)) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			_, statErr := root.Lstat(fmt.Sprintf("%d-%d", round, i))
			if err == nil {
				won++
			} else if !errors.Is(err, drop.ErrNotExist) {
				t.Errorf("a loser's error: %v", err)
			}
			if (err == nil) != (statErr == nil) {
				t.Errorf("claim %d: %v, its file: %v", i, err, statErr)
			}
		}
		if won != 1 {
			t.Fatalf("%d won", won)
		}
	}
}

func TestNothingLeadsOut(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "drop")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	plant(t, filepath.Join(outside, "secret"), "x")
	plant(t, filepath.Join(dir, "a"), "x")
	if err := os.Symlink("..", filepath.Join(dir, "up")); err != nil {
		t.Fatal(err)
	}
	d, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // a test
	if _, err := d.Open(t.Context(), "up/secret"); err == nil {
		t.Error("read a file outside")
	}
	if _, err := d.List(t.Context(), "up"); err == nil {
		t.Error("listed a directory outside")
	}
	if err := d.Rename(t.Context(), "a", "up/a"); err == nil {
		t.Error("moved a file out")
	}
	if err := d.Rename(t.Context(), "up/secret", "b"); err == nil {
		t.Error("moved a file in")
	}
}

func TestMissingDirectory(t *testing.T) {
	_, err := New(filepath.Join(t.TempDir(), "missing"))
	if !errors.Is(err, drop.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
