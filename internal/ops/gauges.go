package ops

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sample is one value of a gauge, with the values of its labels.
type Sample struct {
	Value  float64
	Labels []string
}

// Gauge is a group of values that somebody else keeps. Ask is called when the
// metrics are read and the last answer is older than Every, or than fifty times
// what it took: a slow question is asked rarely. While it fails, the gauge is
// not shown, and cardbatch_gauge_errors_total counts.
type Gauge struct {
	Name, Help string
	Labels     []string
	Every      time.Duration
	Ask        func(context.Context) ([]Sample, error)
}

// askLimit bounds one question, so that a scrape ends.
const askLimit = 5 * time.Second

// AddGauges adds gauges. It is called before the metrics are served.
func (m *Metrics) AddGauges(gauges ...Gauge) {
	failed := m.counter("gauge_errors_total", "Times a value could not be asked for.", "gauge")
	for _, g := range gauges {
		m.registry.MustRegister(&asked{Gauge: g, failed: failed.WithLabelValues(g.Name), now: time.Now,
			desc: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", g.Name), g.Help, g.Labels, nil)})
	}
}

// asked is a Gauge as a collector.
type asked struct {
	Gauge
	desc   *prometheus.Desc
	failed prometheus.Counter
	now    func() time.Time

	mu      sync.Mutex
	samples []Sample
	again   time.Time
}

// Describe implements [prometheus.Collector].
func (a *asked) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

// Collect implements [prometheus.Collector].
func (a *asked) Collect(ch chan<- prometheus.Metric) {
	for _, s := range a.current() {
		ch <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, s.Value, s.Labels...)
	}
}

func (a *asked) current() []Sample {
	a.mu.Lock()
	defer a.mu.Unlock()
	started := a.now()
	if started.Before(a.again) {
		return a.samples
	}
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	samples, err := a.Ask(ctx)
	if err != nil {
		a.failed.Inc()
		samples = nil
	}
	a.samples = samples
	ended := a.now()
	a.again = ended.Add(max(a.Every, 50*ended.Sub(started)))
	return samples
}
