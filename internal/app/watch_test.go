package app_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/d1/d1sim/simkeys"
	"cardbatch/internal/exitcode"
)

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(b)
}

// A night as those see it who watch: the metrics tell what happened, and no
// order, card or person is in them.
func TestMetricsOfANight(t *testing.T) {
	w := newWorld(t)
	ca, err := simkeys.NewCA()
	must(t, err)
	w.write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Cert.Raw})))
	w.write(t, "cardbatch.yaml", strings.Replace(w.text(t), "token: {", "tls: {ca_file: ca.pem}\n      token: {", 1)+"metrics: {listen: \"127.0.0.1:0\"}\n")
	w.cfg, err = config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
	a, _ := w.start(t)
	url := "http://" + a.WatchAddr().String()
	if code, text := fetch(t, url+"/readyz"); code != 200 {
		t.Errorf("not ready: %d %s", code, text)
	}
	w.dropSample(t, "good.csv")
	w.dropSample(t, "bad-rows.csv")
	if _, err := a.RunJob(t.Context(), "pickup", ""); exitcode.Of(err) != exitcode.Rejected {
		t.Fatal(err)
	}
	_, err = a.RunJob(t.Context(), "submit", "")
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, w.sim.WaitFinal(ctx, 20))
	// Somebody tries things, with what must not become a label.
	notifications := "http://" + a.Addr().String()
	for _, path := range []string{"/4111110000000013", "/notifications/d1/v2/issuers/ZOFIA_TEST/cards"} {
		resp, err := http.Post(notifications+path, "application/json", strings.NewReader("{}"))
		must(t, err)
		_ = resp.Body.Close()
	}

	code, text := fetch(t, url+"/metrics")
	if code != 200 {
		t.Fatalf("answered %d", code)
	}
	for _, want := range []string{
		`cardbatch_build_info\{.*version="test"\} 1`,
		`cardbatch_files_total\{outcome="accepted"\} 2`, `cardbatch_rows_total\{outcome="ready"\} [12]\d`, `cardbatch_rows_total\{outcome="rejected"\} 1\d`,
		`cardbatch_runs_total\{job="pickup",outcome="rejects"\} 1`, `cardbatch_runs_total\{job="submit",outcome="done"\} 1`,
		`cardbatch_run_last_success_timestamp_seconds\{job="submit"\} 1\.\d+e\+09`, `cardbatch_run_duration_seconds_count\{job="submit"\} 1`,
		`cardbatch_d1_requests_total\{code="202",endpoint="order",issuer="DEMO_BANK1"\} 2\d`,
		`cardbatch_token_fetch_total\{issuer="DEMO_BANK1",result="ok"\} \d`, `cardbatch_d1_breaker_state\{issuer="DEMO_BANK1",state="closed"\} 1`,
		`cardbatch_notifications_total\{issuer="DEMO_BANK1",result="taken"\} \d+`, `cardbatch_notification_operations_total\{issuer="DEMO_BANK1",outcome="changed"\} \d+`,
		`cardbatch_receiver_refused_total\{reason="issuer"\} 1`, `cardbatch_receiver_refused_total\{reason="path"\} 1`, `cardbatch_receiver_refused_total\{reason="no_certificate"\} 0`,
		`cardbatch_rows_open\{issuer="DEMO_BANK1",state="rejected"\} 1\d`, `cardbatch_oldest_open_file_age_seconds\{issuer="DEMO_BANK1"\} \d`,
		`cardbatch_cert_not_after_timestamp_seconds\{issuer="DEMO_BANK1",use="d1_ca"\} 1\.\d+e\+09`,
		`cardbatch_db_size_bytes \d`, `cardbatch_disk_free_bytes \d`, `cardbatch_receiver_connections \d`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("no %s", want)
		}
	}
	metricsHoldNothing(t, text)
}

// metricsHoldNothing scans metrics for anything of an order, and for labels that
// are not ours.
func metricsHoldNothing(t *testing.T, text string) {
	t.Helper()
	ids := strings.Split(sampleText(t, "good.csv")+sampleText(t, "bad-rows.csv"), "\n")
	header := strings.Split(ids[0], ",")
	for _, row := range ids[1:] {
		for i, cell := range strings.Split(row, ",") {
			if i < len(header) && len(cell) > 5 && regexp.MustCompile(`^(order_id|card_id|consumer_id|pan|cardholder_name|delivery_last_name|delivery_line1)$`).MatchString(header[i]) &&
				strings.Contains(text, cell) {
				t.Errorf("%s of a row is in the metrics", header[i])
			}
		}
	}
	for _, secret := range []string{"4111110000000013", "ZOFIA", "good.csv"} {
		if strings.Contains(text, secret) {
			t.Error("the metrics hold what they must not")
		}
	}
	allowed := regexp.MustCompile(`^(issuer|result|outcome|reason|job|endpoint|code|state|use|le|quantile|version|revision|go|gauge|cause)$`)
	for _, label := range regexp.MustCompile(`[{,]([a-z_]+)="`).FindAllStringSubmatch(text, -1) {
		if !allowed.MatchString(label[1]) {
			t.Errorf("label %s is not on the list", label[1])
		}
	}
	if n := strings.Count(text, "\ncardbatch_"); n > 400 {
		t.Errorf("%d series for one issuer", n)
	}
}

func sampleText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../samples/orders/" + name)
	must(t, err)
	return string(b)
}

// What became of the runs before a restart is known after it.
func TestReadyAndRunsAfterRestart(t *testing.T) {
	w := newWorld(t)
	w.write(t, "cardbatch.yaml", w.text(t)+"metrics: {listen: \"127.0.0.1:0\"}\n")
	var err error
	w.cfg, err = config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
	a, stop := w.start(t)
	_, err = a.RunJob(t.Context(), "track", "")
	must(t, err)
	stop()
	a, _ = w.start(t)
	if _, text := fetch(t, "http://"+a.WatchAddr().String()+"/metrics"); !strings.Contains(text, `cardbatch_run_last_success_timestamp_seconds{job="track"}`) {
		t.Error("the last success is forgotten")
	}
	code, text := fetch(t, "http://"+a.WatchAddr().String()+"/readyz")
	var checks map[string]string
	must(t, json.Unmarshal([]byte(text), &checks))
	if code != 200 || checks["store"] != "ok" || checks["sessions_recovered"] != "ok" || checks["scheduler"] != "ok" {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := fetch(t, "http://"+a.WatchAddr().String()+"/healthz"); code != 200 {
		t.Errorf("healthz: %d", code)
	}
}
