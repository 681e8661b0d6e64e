package ops

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build is what a binary was made of.
type Build struct {
	Version, Revision string
}

// Metrics is what the daemon counts. Its methods are the small interfaces that
// other packages declare for their own needs, so that none of them knows
// Prometheus. They are safe for concurrent use, and harmless on a nil Metrics.
//
// Labels are names of the configuration (issuer, source, job), closed lists of
// ours, and HTTP statuses: never an order, a card, a file, or anything that
// another party wrote.
type Metrics struct {
	registry *prometheus.Registry

	notifications *prometheus.CounterVec
	operations    *prometheus.CounterVec
	answered      prometheus.Histogram
	lag           *prometheus.HistogramVec
	refused       *prometheus.CounterVec

	runs        *prometheus.CounterVec
	runSeconds  *prometheus.HistogramVec
	runSuccess  *prometheus.GaugeVec
	runsRunning *prometheus.GaugeVec

	files *prometheus.CounterVec
	rows  *prometheus.CounterVec

	d1Requests  *prometheus.CounterVec
	d1Seconds   *prometheus.HistogramVec
	d1Throttled *prometheus.CounterVec
	d1Tokens    *prometheus.CounterVec
}

const namespace = "cardbatch"

// NewMetrics returns metrics of nothing yet.
func NewMetrics(b Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info := m.gauge("build_info", "What the binary was made of; always 1.", "version", "revision", "go")
	info.WithLabelValues(b.Version, b.Revision, runtime.Version()).Set(1)

	m.notifications = m.counter("notifications_total", "Notifications that D1 was answered 204 for: taken, repeated, or unread.", "issuer", "result")
	m.operations = m.counter("notification_operations_total", "Operations of those: changed, unchanged, unmatched, other; and strange, the words among them that we do not know.", "issuer", "outcome")
	m.answered = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "notification_duration_seconds",
		Help: "From the end of a notification's header to its 204.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})
	m.registry.MustRegister(m.answered)
	m.lag = m.histogram("notification_lag_seconds", "From the newest thing that a new notification tells of to its arrival.",
		[]float64{1, 10, 60, 300, 900, 3600, 14400, 43200, 86400, 259200, 604800}, "issuer")
	m.refused = m.counter("receiver_refused_total", "Connections and requests that the notification listener did not serve.", "reason")

	m.runs = m.counter("runs_total", "Runs of jobs that ended.", "job", "outcome")
	m.runSeconds = m.histogram("run_duration_seconds", "Runs of jobs.", []float64{.1, 1, 10, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200}, "job")
	m.runSuccess = m.gauge("run_last_success_timestamp_seconds", "End of the job's last run that did not fail.", "job")
	m.runsRunning = m.gauge("runs_running", "Runs of jobs that are under way in this process.", "job")

	m.files = m.counter("files_total", "Order files that were decided on.", "outcome")
	m.rows = m.counter("rows_total", "Rows of the order files that were taken.", "outcome")

	m.d1Requests = m.counter("d1_requests_total", "Calls of D1; code is the HTTP status, or none without an answer.", "issuer", "endpoint", "code")
	m.d1Seconds = m.histogram("d1_request_duration_seconds", "Calls of D1.", []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "issuer", "endpoint")
	m.d1Throttled = m.counter("d1_throttled_total", "Times D1 asked us to slow down.", "issuer")
	m.d1Tokens = m.counter("token_fetch_total", "Access tokens asked for at D1: ok or error.", "issuer", "result")
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(v)
	return v
}

// Notification counts a notification that was taken, and how late it came, if
// that is not below zero.
func (m *Metrics) Notification(issuer, result string, took, lag time.Duration) {
	if m == nil {
		return
	}
	m.notifications.WithLabelValues(issuer, result).Inc()
	m.answered.Observe(took.Seconds())
	if lag >= 0 {
		m.lag.WithLabelValues(issuer).Observe(lag.Seconds())
	}
}

// Operations counts operations of a notification by what came of them.
func (m *Metrics) Operations(issuer, outcome string, n int) {
	if m != nil {
		m.operations.WithLabelValues(issuer, outcome).Add(float64(n))
	}
}

// Refused counts a connection or request that the listener did not serve.
func (m *Metrics) Refused(reason string) {
	if m != nil {
		m.refused.WithLabelValues(reason).Inc()
	}
}

// ExpectRefusals shows the reasons there are before one happens: the first
// refusal is then an increase that an alert sees.
func (m *Metrics) ExpectRefusals(reasons ...string) {
	for _, r := range reasons {
		m.refused.WithLabelValues(r)
	}
}

// RunStarted counts a run that began.
func (m *Metrics) RunStarted(job string) {
	if m != nil {
		m.runsRunning.WithLabelValues(job).Inc()
	}
}

// RunEnded counts a run that [Metrics.RunStarted] has counted.
func (m *Metrics) RunEnded(job, outcome string, took time.Duration) {
	if m == nil {
		return
	}
	m.runsRunning.WithLabelValues(job).Dec()
	m.runs.WithLabelValues(job, outcome).Inc()
	m.runSeconds.WithLabelValues(job).Observe(took.Seconds())
}

// RunSucceeded says when a job last did its work.
func (m *Metrics) RunSucceeded(job string, at time.Time) {
	if m != nil {
		m.runSuccess.WithLabelValues(job).Set(float64(at.UnixMilli()) / 1000)
	}
}

// Files counts order files by what was decided: accepted, held, refused, stuck.
func (m *Metrics) Files(outcome string, n int) {
	if m != nil {
		m.files.WithLabelValues(outcome).Add(float64(n))
	}
}

// Rows counts rows of order files: ready, rejected, duplicate.
func (m *Metrics) Rows(outcome string, n int64) {
	if m != nil {
		m.rows.WithLabelValues(outcome).Add(float64(n))
	}
}

// D1Request counts a call of D1: its HTTP status, 0 without an answer.
func (m *Metrics) D1Request(issuer, endpoint string, status int, took time.Duration) {
	if m == nil {
		return
	}
	code := "none"
	if status > 0 {
		code = strconv.Itoa(status)
	}
	m.d1Requests.WithLabelValues(issuer, endpoint, code).Inc()
	m.d1Seconds.WithLabelValues(issuer, endpoint).Observe(took.Seconds())
}

// D1Throttled counts that D1 asked us to slow down.
func (m *Metrics) D1Throttled(issuer string) {
	if m != nil {
		m.d1Throttled.WithLabelValues(issuer).Inc()
	}
}

// D1Token counts an access token that was asked for.
func (m *Metrics) D1Token(issuer string, ok bool) {
	if m == nil {
		return
	}
	result := "ok"
	if !ok {
		result = "error"
	}
	m.d1Tokens.WithLabelValues(issuer, result).Inc()
}
