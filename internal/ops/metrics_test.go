package ops_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/ops"
)

func listen(t *testing.T, m *ops.Metrics, checks ...ops.Check) string {
	t.Helper()
	s, err := ops.Listen(t.Context(), "127.0.0.1:0", m, checks, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := ops.NewMetrics(ops.Build{Version: "v1.2.3", Revision: "abc"})
	m.ExpectRefusals("rate", "no_certificate")
	m.Refused("rate")
	m.Notification("DEMO_BANK1", "taken", 30*time.Millisecond, time.Minute)
	m.Notification("DEMO_BANK1", "repeated", 30*time.Second, -1)
	m.Operations("DEMO_BANK1", "changed", 3)
	m.RunStarted("pickup")
	m.RunEnded("pickup", "done", 2*time.Second)
	m.RunSucceeded("pickup", time.Unix(1700000000, 0))
	m.RunStarted("submit")
	m.Files("accepted", 2)
	m.Rows("ready", 40)
	m.D1Request("DEMO_BANK1", "order", 202, time.Second)
	m.D1Request("DEMO_BANK1", "order", 0, time.Second)
	m.D1Throttled("DEMO_BANK1")
	m.D1Token("DEMO_BANK1", false)
	code, text := get(t, listen(t, m)+"/metrics")
	if code != 200 {
		t.Fatalf("answered %d", code)
	}
	for _, line := range []string{
		`cardbatch_build_info{go="go`, `cardbatch_receiver_refused_total{reason="rate"} 1`,
		`cardbatch_receiver_refused_total{reason="no_certificate"} 0`,
		`cardbatch_notifications_total{issuer="DEMO_BANK1",result="taken"} 1`,
		`cardbatch_notification_operations_total{issuer="DEMO_BANK1",outcome="changed"} 3`,
		`cardbatch_notification_duration_seconds_bucket{le="0.05"} 1`,
		`cardbatch_notification_lag_seconds_sum{issuer="DEMO_BANK1"} 60`, `cardbatch_notification_lag_seconds_count{issuer="DEMO_BANK1"} 1`,
		`cardbatch_runs_total{job="pickup",outcome="done"} 1`, `cardbatch_runs_running{job="pickup"} 0`, `cardbatch_runs_running{job="submit"} 1`,
		`cardbatch_run_last_success_timestamp_seconds{job="pickup"} 1.7e+09`, `cardbatch_run_duration_seconds_sum{job="pickup"} 2`,
		`cardbatch_files_total{outcome="accepted"} 2`, `cardbatch_rows_total{outcome="ready"} 40`,
		`cardbatch_d1_requests_total{code="202",endpoint="order",issuer="DEMO_BANK1"} 1`,
		`cardbatch_d1_requests_total{code="none",endpoint="order",issuer="DEMO_BANK1"} 1`,
		`cardbatch_d1_throttled_total{issuer="DEMO_BANK1"} 1`, `cardbatch_token_fetch_total{issuer="DEMO_BANK1",result="error"} 1`,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no %s", line)
		}
	}
	// Everything that is ours is under our prefix and has its help.
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`^(cardbatch|go|process|promhttp)_`).MatchString(name[1]) || !strings.Contains(text, "# HELP "+name[1]+" ") {
			t.Errorf("%s has the wrong prefix or no help", name[1])
		}
	}
}

// Without metrics, nothing is counted and nothing breaks.
func TestNoMetrics(t *testing.T) {
	t.Parallel()
	var m *ops.Metrics
	m.Refused("x")
	m.Notification("x", "x", 0, 0)
	m.Operations("x", "x", 1)
	m.RunStarted("x")
	m.RunEnded("x", "x", 0)
	m.RunSucceeded("x", time.Time{})
	m.Files("x", 1)
	m.Rows("x", 1)
	m.D1Request("x", "x", 1, 0)
	m.D1Throttled("x")
	m.D1Token("x", true)
}

// A gauge is asked for when it is read, and not every time.
func TestGauges(t *testing.T) {
	t.Parallel()
	m := ops.NewMetrics(ops.Build{})
	asked := 0
	m.AddGauges(
		ops.Gauge{Name: "depth", Help: "d", Labels: []string{"issuer"}, Every: time.Hour, Ask: func(context.Context) ([]ops.Sample, error) {
			asked++
			return []ops.Sample{{Value: float64(asked), Labels: []string{"A"}}, {Value: 7, Labels: []string{"B"}}}, nil
		}},
		ops.Gauge{Name: "broken", Help: "b", Every: time.Hour, Ask: func(context.Context) ([]ops.Sample, error) { return []ops.Sample{{Value: 1}}, errors.New("no") }},
	)
	url := listen(t, m) + "/metrics"
	_, _ = get(t, url)
	code, text := get(t, url)
	if code != 200 || asked != 1 || !strings.Contains(text, "cardbatch_depth{issuer=\"A\"} 1\n") || !strings.Contains(text, "cardbatch_depth{issuer=\"B\"} 7\n") {
		t.Errorf("%d, asked %d times", code, asked)
	}
	if strings.Contains(text, "\ncardbatch_broken") || !strings.Contains(text, `cardbatch_gauge_errors_total{gauge="broken"} 1`) {
		t.Error("a value that nobody knows is shown, or its error is not counted")
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	broken := errors.New("the store does not answer")
	var failing error
	url := listen(t, ops.NewMetrics(ops.Build{}), ops.Check{Name: "store", Ask: func(context.Context) error { return failing }},
		ops.Check{Name: "loop", Ask: func(context.Context) error { return nil }})
	if code, text := get(t, url+"/readyz"); code != 200 || text != `{"loop":"ok","store":"ok"}`+"\n" {
		t.Errorf("%d %s", code, text)
	}
	failing = broken
	if code, text := get(t, url+"/readyz"); code != 503 || !strings.Contains(text, broken.Error()) {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := get(t, url+"/healthz"); code != 200 {
		t.Errorf("%d", code)
	}
	if code, _ := get(t, url+"/"); code != 404 {
		t.Errorf("%d", code)
	}
}

func TestListenTwice(t *testing.T) {
	t.Parallel()
	m := ops.NewMetrics(ops.Build{})
	s, err := ops.Listen(t.Context(), "127.0.0.1:0", m, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ops.Listen(t.Context(), s.Addr().String(), m, nil, zerolog.Nop()); err == nil {
		t.Error("the same address was bound twice")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestPulse(t *testing.T) {
	t.Parallel()
	var p ops.Pulse
	at := time.Unix(1000, 0)
	if !p.Stopped(at, time.Minute) {
		t.Error("it never began")
	}
	p.Beat(at)
	done := p.Work()
	if p.Stopped(at.Add(time.Minute), time.Minute) || p.Stopped(at.Add(time.Hour), time.Minute) {
		t.Error("it goes on")
	}
	done()
	if !p.Stopped(at.Add(time.Hour), time.Minute) {
		t.Error("it has stopped")
	}
}
