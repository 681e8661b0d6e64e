package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/change"
	"cardbatch/internal/config"
	"cardbatch/internal/d1"
	"cardbatch/internal/drop"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
	"cardbatch/internal/ops"
	"cardbatch/internal/pgp"
	"cardbatch/internal/report"
	"cardbatch/internal/schedule"
	"cardbatch/internal/sealed"
	"cardbatch/internal/store"
	"cardbatch/internal/submit"
	"cardbatch/internal/track"
	"cardbatch/jobs"

	"github.com/rs/zerolog"
)

// Options are what an App is built from. Config is required.
type Options struct {
	Config   *config.Config
	Version  string // for the log and metrics
	Revision string
	Logger   zerolog.Logger
	Now      func() time.Time // nil: the system's clock
	Migrate  bool             // bring the store to the program's schema first
	Listen   bool             // accept notifications and show metrics, if the configuration says where

	// Schedule is the clock of the job schedules; zero: Now.
	Schedule schedule.Clock
}

// App is a running cardbatch.
type App struct {
	cfg      *config.Config
	log      zerolog.Logger
	now      func() time.Time
	store    *store.Store
	settle   time.Duration // for orders that a dead session was sending
	products map[string]issuance.Product
	drops    map[string]drop.Drop
	issuers  []*issuer
	intake   intake.Config

	openers   map[string]*pgp.Opener     // by source, of those whose files are encrypted
	envelopes map[string]report.Envelope // of those whose reports are, see openPGP

	scheduler *schedule.Scheduler
	jobs      []schedule.Job
	listener  *notification.Server // nil without
	metrics   *ops.Metrics         // nil without
	watchers  *ops.Server          // where metrics are shown, nil without
	pulse     ops.Pulse            // of the scheduler

	mu     sync.Mutex // one run of the stages that need it at a time
	closes []cleanUp
}

type cleanUp struct {
	name string
	do   func() error
}

// issuer is what belongs to one issuer at D1.
type issuer struct {
	config.Issuer
	encoder *d1.Encoder
	client  *d1.Client
	submit  *submit.Runner
	track   *track.Runner
	change  *change.Runner
}

// New builds the parts and connects them. It is one function on purpose, see
// the package comment. Close the App when it is no longer needed.
func New(ctx context.Context, o Options) (_ *App, err error) {
	a := &App{cfg: o.Config, log: o.Logger, now: o.Now, products: o.Config.IssuanceProducts(), drops: map[string]drop.Drop{}}
	if a.now == nil {
		a.now = func() time.Time { return time.Now().UTC() }
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()

	if o.Listen && a.cfg.Metrics.Listen != "" {
		a.metrics = ops.NewMetrics(ops.Build{Version: o.Version, Revision: o.Revision})
	}

	// The jobs first: a mistake in a file must show before anything is touched.
	a.jobs, err = LoadJobs(a.cfg)
	if err != nil {
		return nil, err
	}

	// The store, and this process in it.
	if err = os.MkdirAll(string(a.cfg.StateDir), 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	if o.Migrate {
		if err = migrate(ctx, a.cfg, a.log); err != nil {
			return nil, err
		}
	}
	a.store, err = OpenStore(ctx, a.cfg, false, a.now)
	if err != nil {
		return nil, err
	}
	a.push("store", a.store.Close)
	session, err := a.store.StartSession(ctx, a.cfg.Node)
	if err != nil {
		return nil, fmt.Errorf("start a session: %w", err)
	}
	a.log = a.log.With().Str("session", session).Logger()
	for _, i := range a.cfg.Issuers {
		a.settle = max(a.settle, i.Submit.Settle)
	}
	if err = a.recoverSessions(ctx); err != nil {
		return nil, err
	}

	// Keys for what is kept at rest.
	ring, fingerprinter, err := openKeys(a.cfg.Keys)
	if err != nil {
		return nil, err
	}

	// PGP keys of files and reports.
	if err = a.openPGP(fingerprinter); err != nil {
		return nil, err
	}

	// The drops.
	for _, c := range a.cfg.Drops {
		d, err := openDrop(c)
		if err != nil {
			return nil, fmt.Errorf("open drop %s: %w", c.Name, err)
		}
		a.drops[c.Name] = d
		a.push("drop "+c.Name, d.Close)
	}

	// D1, for each issuer: encoder and client, its rate, the stages that talk to it.
	for _, c := range a.cfg.Issuers {
		i, err := a.openIssuer(c, session, ring)
		if err != nil {
			return nil, fmt.Errorf("set up issuer %s: %w", c.ID, err)
		}
		a.issuers = append(a.issuers, i)
		a.push("d1 "+c.ID, func() error { i.client.Close(); return nil })
	}

	// Intake, made anew for every run, which may be about some sources only.
	sources, err := a.intakeSources()
	if err != nil {
		return nil, err
	}
	a.intake = intake.Config{Sources: sources, Store: a.store, Sealer: ring, Fingerprint: fingerprinter,
		Session: session, Now: a.now, Logger: a.log}

	// What D1 tells us.
	if o.Listen && a.cfg.Notifications.Listen != "" {
		a.listener, err = a.listen(ctx, ring, fingerprinter)
		if err != nil {
			return nil, err
		}
		a.push("notification listener", a.listener.Close)
	}

	// The clock that drives it all.
	scheduleClock := a.beating(o.Schedule)
	a.scheduler, err = schedule.New(schedule.Config{
		Jobs: a.jobs, Ledger: a.countedLedger(), Session: session, Log: a.log, Clock: scheduleClock,
		Stages: map[string]schedule.Stage{
			schedule.StagePickup:    a.pickup,
			schedule.StageSubmit:    a.submit,
			schedule.StageTrack:     a.track,
			schedule.StageChange:    a.change,
			schedule.StageReport:    a.report,
			schedule.StageRetention: a.erase,
		},
	})
	if err != nil {
		return nil, err
	}

	// What those see who watch it, when there is something to see.
	if a.metrics != nil {
		if a.watchers, err = a.watch(ctx); err != nil {
			return nil, err
		}
		a.push("metrics listener", a.watchers.Close)
	}
	a.log.Debug().Str("version", o.Version).Msg("built")
	return a, nil
}

// push registers a clean-up; the last one registered runs first.
func (a *App) push(name string, do func() error) { a.closes = append(a.closes, cleanUp{name, do}) }

// Close ends everything New began, in reverse order.
func (a *App) Close() error {
	var errs []error
	for len(a.closes) > 0 {
		last := a.closes[len(a.closes)-1]
		a.closes = a.closes[:len(a.closes)-1]
		if err := last.do(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}

// recoverSessions makes unknown what dead processes were sending.
func (a *App) recoverSessions(ctx context.Context) error {
	n, err := a.store.RecoverSessions(ctx, a.settle)
	if err != nil {
		return fmt.Errorf("recover what dead sessions left: %w", err)
	}
	if n > 0 {
		a.log.Warn().Int("count", n).Msg("orders of a dead session are unknown until D1 was asked")
	}
	return nil
}

// openKeys reads the keys for sealing and fingerprints.
func openKeys(keys config.Keys) (*sealed.Keyring, *cardholder.Fingerprinter, error) {
	all := map[string][]byte{}
	for _, k := range keys.Sealing.Keys {
		key, err := readKey(k.File)
		if err != nil {
			return nil, nil, fmt.Errorf("read sealing key %s: %w", k.ID, err)
		}
		all[k.ID] = key
	}
	ring, err := sealed.NewKeyring(keys.Sealing.Current, all)
	if err != nil {
		return nil, nil, invalid(err)
	}
	key, err := readKey(keys.FingerprintFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the fingerprint key: %w", err)
	}
	return ring, cardholder.NewFingerprinter(key), nil
}

func readKey(f config.File) ([]byte, error) {
	path, err := f.Path()
	if err != nil {
		return nil, invalid(err)
	}
	key, err := sealed.LoadKey(path)
	return key, invalid(err)
}

// invalid marks an error as one of the configuration or what it names.
func invalid(err error) error {
	return exitcode.Mark(err, exitcode.Config, "`cardbatch check` shows everything that is wrong with the configuration")
}

// LoadJobs reads the built-in job files and those of the configuration, and
// checks that what they select exists.
func LoadJobs(cfg *config.Config) ([]schedule.Job, error) {
	all, err := schedule.LoadJobs(jobs.FS, string(cfg.JobsDir))
	if err != nil {
		return nil, invalid(err)
	}
	var errs []error
	for _, j := range all {
		for _, id := range j.Select.Issuers {
			if cfg.Issuer(id).ID == "" {
				errs = append(errs, fmt.Errorf("job %s: select.issuers: %q is not an issuer of the configuration", j.Name, id))
			}
		}
		for _, name := range j.Select.Sources {
			if cfg.Source(name).Name == "" {
				errs = append(errs, fmt.Errorf("job %s: select.sources: %q is not a source of the configuration", j.Name, name))
			}
		}
	}
	return all, invalid(errors.Join(errs...))
}

// OpenStore opens the store of the configuration, for reading only or also for
// writing. It does not migrate.
func OpenStore(ctx context.Context, cfg *config.Config, readOnly bool, now func() time.Time) (*store.Store, error) {
	s, err := store.Open(ctx, store.Config{Path: cfg.StorePath(), ReadOnly: readOnly, Now: now})
	if errors.Is(err, os.ErrNotExist) {
		// Not err itself: it speaks of a schema that differs.
		return nil, exitcode.Mark(fmt.Errorf("open store: there is none at %s", cfg.StorePath()), exitcode.Failed, "`cardbatch migrate` creates it")
	}
	if errors.Is(err, store.ErrSchema) {
		err = exitcode.Mark(err, exitcode.Failed, "`cardbatch migrate` creates it or brings it up to date")
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Migrate creates the store or brings it to the schema of this program.
func Migrate(ctx context.Context, cfg *config.Config) (applied int, err error) {
	if err := os.MkdirAll(string(cfg.StateDir), 0o700); err != nil {
		return 0, fmt.Errorf("make the state directory: %w", err)
	}
	applied, err = store.Migrate(ctx, store.Config{Path: cfg.StorePath()})
	if err != nil {
		return applied, fmt.Errorf("migrate the store: %w", err)
	}
	return applied, nil
}

func migrate(ctx context.Context, cfg *config.Config, log zerolog.Logger) error {
	applied, err := Migrate(ctx, cfg)
	if applied > 0 {
		log.Info().Int("count", applied).Msg("store migrated")
	}
	return err
}
