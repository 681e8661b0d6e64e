package drop

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestHidden(t *testing.T) {
	for name, want := range map[string]bool{
		".a": true, "in/.a.csv.part": true, "a": false, "in/a": false, ".in/a": false, "a.": false, "": false,
	} {
		if got := Hidden(name); got != want {
			t.Errorf("Hidden(%q) = %t", name, got)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, name := range []string{"a", "a/b", "", ".", "..", "/a", "a/", "a//b", "a/../b", "a\x00", "\xff", "...", "a/.b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		// Whatever root it is joined to, it stays below, and it is one name only.
		joined := path.Join("/root/of/drop", name)
		if joined != "/root/of/drop/"+name || strings.ContainsAny(name, "\x00\n") {
			t.Errorf("%q is accepted and becomes %q", name, joined)
		}
	})
}

func TestTempName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.StringMatching(`[^/\x00\r\n]{1,300}`).Draw(t, "base")
		dir := rapid.SampledFrom([]string{"", "out/", "a/b/"}).Draw(t, "dir")
		if CheckName(dir+base) != nil {
			t.Skip()
		}
		temp := tempName(dir + base)
		if CheckName(temp) != nil || !Hidden(temp) || path.Dir(temp) != path.Dir(dir+base) || len(path.Base(temp)) > 255 {
			t.Errorf("temporary name %q for %q", temp, dir+base)
		}
		if utf8.ValidString(base) && !utf8.ValidString(temp) {
			t.Errorf("temporary name %q was cut inside a character", temp)
		}
		if tempName(dir+base) == temp {
			t.Error("two attempts share a temporary name")
		}
	})
}

func TestErrorsAreThoseOfTheStandardLibrary(t *testing.T) {
	if !errors.Is(fmt.Errorf("x: %w", ErrNotExist), ErrNotExist) || errors.Is(ErrExist, ErrNotExist) {
		t.Error("sentinels do not behave")
	}
}
