package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
)

// What the configuration says of completion is what intake does.
func TestCompletionIsTheConfigured(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(w.dir, "cardbatch.yaml")
	text, err := os.ReadFile(path)
	must(t, err)
	w.write(t, "cardbatch.yaml", strings.Replace(string(text), "drop: bank}]",
		"drop: bank, observations: 2, completion: {control: true, markers: [.fin], quiet: true, quiet_for: 1ns, stuck_after: 1ns}}]", 1))
	w.cfg, err = config.Load(path)
	must(t, err)
	a, stop := w.start(t)
	defer stop()
	w.dropSample(t, "good.csv")
	for _, want := range []string{`"accepted":0`, `"stuck_files":["core: good.csv"]`} { // at first sight, and without its marker
		run, err := a.RunJob(t.Context(), "pickup", "")
		must(t, err)
		if !strings.Contains(run.Summary, want) {
			t.Errorf("the run says %s, want %s", run.Summary, want)
		}
	}
	w.write(t, "drop/drop/good.csv.fin", "")
	run, err := a.RunJob(t.Context(), "pickup", "") // some rows of the sample are for another configuration
	if !errors.Is(err, app.ErrRejects) || !strings.Contains(run.Summary, `"accepted":1`) || !strings.Contains(run.Summary, `"stuck":0`) {
		t.Errorf("the run says %s, %v, log %s", run.Summary, err, w.log)
	}
	if got := strings.Join(w.files(t, "drop/archive"), " "); got != "good.csv good.csv.ctl good.csv.fin" {
		t.Errorf("the archive has %s", got)
	}
}
