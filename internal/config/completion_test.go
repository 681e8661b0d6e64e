package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"cardbatch/internal/config"

	"github.com/google/go-cmp/cmp"
)

// A completion is a word or a group of keys, and both mean the same.
func TestCompletionForms(t *testing.T) {
	base, err := os.ReadFile("testdata/completion-word.yaml")
	if err != nil {
		t.Fatal(err)
	}
	base = base[:len(base)-len("    completion: contrl\n")]
	defaults := config.Completion{MarkerOf: "name", QuietFor: time.Minute, StuckAfter: 4 * time.Hour,
		IgnoreSuffixes: []string{".tmp", ".part", ".filepart"}}
	with := func(change func(*config.Completion)) config.Completion {
		c := defaults
		change(&c)
		return c
	}
	for text, want := range map[string]config.Completion{
		"":                                    with(func(c *config.Completion) { c.Control = true }),
		"completion: control":                 with(func(c *config.Completion) { c.Control = true }),
		"completion: {control: true}":         with(func(c *config.Completion) { c.Control = true }),
		"completion: quiet":                   with(func(c *config.Completion) { c.Quiet = true }),
		"completion: renamed":                 with(func(c *config.Completion) { c.Renamed = true }),
		"completion: marker":                  with(func(c *config.Completion) { c.Markers = []string{".done", ".ok"} }),
		"completion: {markers: [.done, .ok]}": with(func(c *config.Completion) { c.Markers = []string{".done", ".ok"} }),
		"completion: {quiet: true, observations: 2}": {},
		"completion: {control: true, markers: [.fin], marker_of: stem, quiet: true, quiet_for: 2m, min_size: 1KiB, ignore_suffixes: [], stuck_after: 1h}": {
			Control: true, Markers: []string{".fin"}, MarkerOf: "stem", Quiet: true, QuietFor: 2 * time.Minute, MinSize: 1024,
			IgnoreSuffixes: []string{}, StuckAfter: time.Hour,
		},
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, append(base, "    "+text+"\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path)
		if want.MarkerOf == "" {
			if err == nil {
				t.Errorf("%s is taken", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, c.Sources[0].Completion); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
