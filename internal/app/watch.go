package app

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/d1"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
	"cardbatch/internal/ops"
	"cardbatch/internal/schedule"
	"cardbatch/internal/submit"
)

// loopLimit is how long the scheduler may do nothing at all before we are not
// ready: it looks at the clock every 30 s.
const loopLimit = 3 * time.Minute

// watch binds the address for metrics and health; Serve answers there.
func (a *App) watch(ctx context.Context) (*ops.Server, error) {
	for _, r := range notification.Reasons() {
		a.metrics.ExpectRefusals(string(r))
	}
	if err := a.rememberRuns(ctx); err != nil {
		return nil, err
	}
	a.metrics.AddGauges(a.gauges()...)
	a.pulse.Beat(time.Now()) // until the scheduler does
	return ops.Listen(ctx, a.cfg.Metrics.Listen, a.metrics, []ops.Check{
		{Name: "store", Ask: func(ctx context.Context) error {
			if _, err := a.store.Batches(ctx, issuance.BatchFilter{Limit: 1}); err != nil {
				return errors.New("the store does not answer")
			}
			return nil
		}},
		// New recovers them before there is anybody to ask.
		{Name: "sessions_recovered", Ask: func(context.Context) error { return nil }},
		{Name: "scheduler", Ask: func(context.Context) error {
			if a.pulse.Stopped(time.Now(), loopLimit) {
				return fmt.Errorf("no job has looked at the clock for %s, and none is running", loopLimit)
			}
			return nil
		}},
	}, a.log)
}

// WatchAddr returns where metrics are shown, nil without.
func (a *App) WatchAddr() net.Addr {
	if a.watchers == nil {
		return nil
	}
	return a.watchers.Addr()
}

func (a *App) showMetrics() {
	if err := a.watchers.Serve(); err != nil { // orders go on without
		a.log.Error().Err(err).Msg("metrics are not shown any more")
	}
}

// rememberRuns shows when each job last did its work before this process began.
func (a *App) rememberRuns(ctx context.Context) error {
	for _, j := range a.jobs {
		runs, err := a.store.Runs(ctx, issuance.RunFilter{Job: j.Name, Limit: 100})
		if err != nil {
			return err
		}
		for _, r := range runs {
			if succeeded(r.Outcome) {
				a.metrics.RunSucceeded(j.Name, r.EndedAt)
				break
			}
		}
	}
	return nil
}

func succeeded(o issuance.RunOutcome) bool { return o == issuance.RunDone || o == issuance.RunRejects }

// beating is the scheduler's clock, which shows that it is looked at.
func (a *App) beating(c schedule.Clock) schedule.Clock {
	now := c.Now
	if now == nil {
		now = a.now
	}
	c.Now = func() time.Time {
		a.pulse.Beat(time.Now())
		return now()
	}
	return c
}

// countedLedger is the run ledger, which also counts.
func (a *App) countedLedger() schedule.Ledger {
	return &countedLedger{Ledger: a.store, app: a, open: map[int64]openRun{}}
}

type countedLedger struct {
	schedule.Ledger
	app *App

	mu   sync.Mutex
	open map[int64]openRun
}

type openRun struct {
	job     string
	started time.Time
	done    func()
}

// StartRun implements [schedule.Ledger].
func (l *countedLedger) StartRun(ctx context.Context, r issuance.Run) (issuance.Run, error) {
	run, err := l.Ledger.StartRun(ctx, r)
	if err == nil && run.EndedAt.IsZero() {
		l.app.metrics.RunStarted(run.Job)
		l.mu.Lock()
		l.open[run.ID] = openRun{run.Job, time.Now(), l.app.pulse.Work()}
		l.mu.Unlock()
	}
	return run, err
}

// FinishRun implements [schedule.Ledger].
func (l *countedLedger) FinishRun(ctx context.Context, id int64, outcome issuance.RunOutcome, summary string) error {
	err := l.Ledger.FinishRun(ctx, id, outcome, summary)
	l.mu.Lock()
	run, ok := l.open[id]
	if err == nil {
		delete(l.open, id)
	}
	l.mu.Unlock()
	if ok && err == nil {
		run.done()
		l.app.metrics.RunEnded(run.job, string(outcome), time.Since(run.started))
		if succeeded(outcome) {
			l.app.metrics.RunSucceeded(run.job, l.app.now())
		}
	}
	return err
}

func (a *App) countFiles(s intake.Summary) {
	a.metrics.Files("accepted", s.Accepted)
	a.metrics.Files("held", s.Held)
	a.metrics.Files("refused", s.Refused)
	a.metrics.Rows("ready", s.Ready)
	a.metrics.Rows("rejected", s.Rejected)
	a.metrics.Rows("duplicate", s.Duplicate)
}

// observeD1 counts what the client of an issuer does.
func (a *App) observeD1(issuer string) func(endpoint string, status int, took time.Duration) {
	if a.metrics == nil {
		return nil
	}
	return func(endpoint string, status int, took time.Duration) {
		a.metrics.D1Request(issuer, endpoint, status, took)
		if status == http.StatusTooManyRequests {
			a.metrics.D1Throttled(issuer)
		}
		if endpoint == d1.EndpointToken {
			a.metrics.D1Token(issuer, status == http.StatusOK)
		}
	}
}

// gauges are the values that others keep.
func (a *App) gauges() []ops.Gauge {
	gauges := []ops.Gauge{
		{Name: "rows_open", Help: "Rows of the order files that are not closed, by the terms of the control equation.",
			Labels: []string{"issuer", "state"}, Every: 30 * time.Second, Ask: a.openRows},
		{Name: "oldest_open_file_age_seconds", Help: "Age of the oldest order file that is not closed; 0 without one.",
			Labels: []string{"issuer"}, Every: 30 * time.Second, Ask: a.oldestFile},
		{Name: "cert_not_after_timestamp_seconds", Help: "When the first certificate of a file ends.",
			Labels: []string{"use", "issuer"}, Every: time.Minute, Ask: a.certificates},
		{Name: "db_size_bytes", Help: "Size of the store and its write-ahead log.", Every: 10 * time.Second, Ask: a.storeSize},
		{Name: "disk_free_bytes", Help: "Room left where the store is.", Every: 10 * time.Second,
			Ask: func(context.Context) ([]ops.Sample, error) {
				free, err := ops.DiskFree(string(a.cfg.StateDir))
				return []ops.Sample{{Value: float64(free)}}, err
			}},
	}
	gauges = append(gauges, ops.Gauge{Name: "d1_breaker_state", Help: "1 for the state of the circuit breaker: closed, half_open, open.",
		Labels: []string{"issuer", "state"}, Ask: a.breakers})
	if a.listener != nil {
		gauges = append(gauges, ops.Gauge{Name: "receiver_connections", Help: "Open connections of the notification listener.",
			Ask: func(context.Context) ([]ops.Sample, error) {
				return []ops.Sample{{Value: float64(a.listener.Connections())}}, nil
			}})
	}
	return gauges
}

func (a *App) breakers(context.Context) ([]ops.Sample, error) {
	var samples []ops.Sample
	for _, i := range a.issuers {
		now := i.submit.Breaker().State
		for _, state := range []submit.BreakerState{submit.Closed, submit.HalfOpen, submit.Open} {
			value := 0.0
			if state == now {
				value = 1
			}
			samples = append(samples, ops.Sample{Value: value, Labels: []string{i.ID, string(state)}})
		}
	}
	return samples, nil
}

func (a *App) openBatches(ctx context.Context) ([]issuance.Batch, error) {
	return a.store.Batches(ctx, issuance.BatchFilter{States: []issuance.BatchState{
		issuance.BatchLoading, issuance.BatchAccepted, issuance.BatchHeld, issuance.BatchSettled}})
}

func (a *App) openRows(ctx context.Context) ([]ops.Sample, error) {
	open, err := a.openBatches(ctx)
	if err != nil {
		return nil, err
	}
	totals := map[string]issuance.Totals{}
	for _, i := range a.cfg.Issuers {
		totals[i.ID] = issuance.Totals{}
	}
	for _, b := range open {
		t, err := a.store.BatchTotals(ctx, b.No)
		if err != nil {
			return nil, err
		}
		sum, ours := totals[b.IssuerID]
		if !ours {
			continue // of an issuer that was taken out of the configuration
		}
		sum.Merge(t)
		totals[b.IssuerID] = sum
	}
	var samples []ops.Sample
	for issuer, t := range totals {
		for _, term := range t.Terms() {
			samples = append(samples, ops.Sample{Value: float64(term.Count), Labels: []string{issuer, term.Name}})
		}
	}
	return samples, nil
}

func (a *App) oldestFile(ctx context.Context) ([]ops.Sample, error) {
	open, err := a.openBatches(ctx)
	if err != nil {
		return nil, err
	}
	var samples []ops.Sample
	for _, i := range a.cfg.Issuers {
		age := time.Duration(0)
		for _, b := range open {
			if b.IssuerID == i.ID {
				age = max(age, a.now().Sub(b.ReceivedAt))
			}
		}
		samples = append(samples, ops.Sample{Value: age.Seconds(), Labels: []string{i.ID}})
	}
	return samples, nil
}

func (a *App) storeSize(context.Context) ([]ops.Sample, error) {
	total := int64(0)
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(a.cfg.StorePath() + suffix)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			total += info.Size()
		}
	}
	return []ops.Sample{{Value: float64(total)}}, nil
}

// certificates returns when each file of certificates first needs a new one.
// A file that cannot be read has no value: an alert on its absence finds it.
func (a *App) certificates(context.Context) ([]ops.Sample, error) {
	var samples []ops.Sample
	add := func(f config.File, use, issuer string) {
		if f == "" {
			return
		}
		if at, err := firstExpiry(f); err == nil {
			samples = append(samples, ops.Sample{Value: float64(at.Unix()), Labels: []string{use, issuer}})
		}
	}
	add(a.cfg.Notifications.CertFile, "notifications", "")
	add(a.cfg.Notifications.ClientCAFile, "notifications_client_ca", "")
	for _, i := range a.cfg.Issuers {
		add(i.D1.TLS.CertFile, "d1_client", i.ID)
		add(i.D1.TLS.CAFile, "d1_ca", i.ID)
	}
	return samples, nil
}

func firstExpiry(f config.File) (time.Time, error) {
	rest, err := f.Read()
	if err != nil {
		return time.Time{}, err
	}
	var first time.Time
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, fmt.Errorf("read a certificate: %w", err)
		}
		if first.IsZero() || cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	if first.IsZero() {
		return first, errors.New("no certificate in the file")
	}
	return first, nil
}
