package rehearsal_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardbatch/internal/config"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/schedule"
	"cardbatch/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What a world writes is what cardbatch reads.
func TestWorldIsOneForCardbatch(t *testing.T) {
	var asked int
	w, err := rehearsal.New(t.Context(), rehearsal.Config{
		Dir: t.TempDir(), Seed: 1, Pace: rehearsal.Pace{Rate: 77},
		Jobs: map[string]rehearsal.Job{"track": {Schedule: "*/3 * * * *"}, "submit2": {Like: "submit", Schedule: "0 0 29 2 *"}},
		WrapD1: func(d1 http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked++; d1.ServeHTTP(w, r) })
		},
	})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	cfg, err := config.Load(w.ConfigFile)
	must(t, err)
	issuer := cfg.Issuer(rehearsal.IssuerID)
	if issuer.Rate.RequestsPerSecond != 77 || issuer.Submit.Settle != 2500*time.Millisecond || cfg.StorePath() != w.Store() {
		t.Errorf("rate %v, settle %s, store %s", issuer.Rate.RequestsPerSecond, issuer.Submit.Settle, cfg.StorePath())
	}
	all, err := schedule.LoadJobs(jobs.FS, string(cfg.JobsDir))
	must(t, err)
	stages := map[string]string{}
	for _, j := range all {
		stages[j.Name] = j.Stage
	}
	if stages["submit2"] != schedule.StageSubmit || stages["track"] != schedule.StageTrack || stages["pickup"] == "" {
		t.Errorf("jobs by stage: %v", stages)
	}
	resp, err := http.Post(issuer.D1.TokenURL, "text/plain", nil)
	must(t, err)
	must(t, resp.Body.Close())
	if http.DefaultClient.CloseIdleConnections(); resp.StatusCode < 400 || asked != 1 {
		t.Errorf("D1 answered %d to no token request, asked %d times", resp.StatusCode, asked)
	}
}

func TestProcess(t *testing.T) {
	p := rehearsal.NewProcess(nil, "sleep", "60")
	for range 2 { // it can be started again
		must(t, p.Start(t.Context()))
		must(t, p.Kill())
		<-p.Done()
		if err := p.Err(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("it ended with %v", err)
		}
		must(t, p.Kill()) // of what is dead: nothing
	}
	must(t, p.Start(t.Context()))
	if err := p.Stop(); err == nil {
		t.Error("sleep does not drain, and that is not said")
	}
	if err := rehearsal.NewProcess(nil, "/no/such/program").Start(t.Context()); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestOrderFileAndReports(t *testing.T) {
	dir := t.TempDir()
	f, err := rehearsal.NewOrderFile("cards.csv", 4, sample.Options{Rows: 12, Prefix: "x", Now: time.Now()})
	must(t, err)
	must(t, f.Drop(dir))
	control, err := os.ReadFile(filepath.Join(dir, "cards.csv.ctl"))
	must(t, err)
	c, err := orderfile.ParseControl(control)
	must(t, err)
	if c.Rows != 12 || c.Sequence != 4 || c.SHA256 != f.Rows.SHA256 {
		t.Errorf("control file %+v", c)
	}
	rows := 0
	must(t, rehearsal.EachRow(filepath.Join(dir, f.Name()), func(row map[string]string) {
		if rows++; row["order_id"] == "" {
			t.Errorf("row %d has no order_id", rows)
		}
	}))
	if rows != 12 {
		t.Errorf("%d rows", rows)
	}
	all, err := rehearsal.ReadReports(dir) // any control file names its file
	must(t, err)
	if len(all) != 1 || all[0].File != "cards.csv" || all[0].Rows != 12 || all[0].Path != filepath.Join(dir, "cards.csv") {
		t.Errorf("reports %+v", all)
	}
	must(t, os.WriteFile(filepath.Join(dir, "half.csv.ctl"), []byte("{"), 0o600))
	if _, err := rehearsal.ReadReports(dir); err == nil {
		t.Error("half a control file was read")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
