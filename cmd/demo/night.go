package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/store"
)

const (
	minOrders = 50 // fewer would leave no room for every kind of mistake
	patience  = 5 * time.Minute
	killAt    = 0.4 // of the orders submitted
)

// night is the demo while it runs.
type night struct {
	options
	world  *rehearsal.World
	daemon *rehearsal.Process
	store  *store.Store
	bank   *coreBanking
	show   *progress
	sum    summary
	began  time.Time
}

// play runs the night and returns what it came to.
func play(ctx context.Context, o options, stderr io.Writer) (_ summary, err error) {
	dir, err := prepareDir(o.out)
	if err != nil {
		return summary{}, err
	}
	n := &night{options: o, began: time.Now(), show: newProgress(stderr)}
	n.sum = summary{Orders: o.orders, Seed: o.seed, Out: dir, Seconds: map[string]float64{}, Differences: []string{}}
	defer func() { n.show.close() }()
	// About four seconds of submitting, so that there is a middle to be killed in.
	n.world, err = newWorld(ctx, dir, max(50, o.orders/4), o.seed)
	if err != nil {
		return n.sum, err
	}
	defer func() { err = errors.Join(err, n.world.Close()) }()
	n.bank = &coreBanking{dir: filepath.Join(dir, "sftp", "drop"), seed: o.seed, date: time.Now().UTC()}
	if n.daemon, err = newDaemon(filepath.Join(dir, "state"), n.world.ConfigFile); err != nil {
		return n.sum, err
	}
	if err := n.daemon.Start(ctx); err != nil {
		return n.sum, err
	}
	defer func() {
		if n.daemon != nil {
			err = errors.Join(err, n.daemon.Kill())
		}
	}()
	if err := n.stages(ctx); err != nil {
		return n.sum, err
	}
	d := n.daemon
	n.daemon = nil
	if err := d.Stop(); err != nil {
		return n.sum, err
	}
	n.sum.Seconds["total"] = time.Since(n.began).Seconds()
	return n.sum, n.conclude(ctx)
}

func prepareDir(out string) (string, error) {
	if out == "" {
		return os.MkdirTemp("", "cardbatch-demo-")
	}
	dir, err := filepath.Abs(out)
	if err != nil {
		return "", err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty: the night leaves its files there and overwrites nobody's", dir)
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// stages plays the stages of the night in turn and notes how long each took.
func (n *night) stages(ctx context.Context) error {
	for _, stage := range []struct {
		name string
		play func(context.Context) error
	}{
		{"taken", n.taken}, {"submitted", n.submitted}, {"produced", n.produced}, {"reported", n.reported},
	} {
		began := time.Now()
		if err := stage.play(ctx); err != nil {
			return fmt.Errorf("until all is %s: %w", stage.name, err)
		}
		n.sum.Seconds[stage.name] = time.Since(began).Seconds()
	}
	return nil
}

// taken drops the files and waits until each has its verdict.
func (n *night) taken(ctx context.Context) error {
	good, bad, err := n.bank.dropEvening(n.orders)
	if err != nil {
		return err
	}
	if err := n.wait(ctx, n.openStore); err != nil {
		return err
	}
	if err := n.awaitVerdicts(ctx, good, bad); err != nil {
		return err
	}
	// The bank reads the receipt of its truncated file and sends it again.
	if err := n.bank.resend(); err != nil {
		return err
	}
	return n.awaitVerdicts(ctx, good+1, bad)
}

func (n *night) awaitVerdicts(ctx context.Context, good, bad int) error {
	return n.wait(ctx, func() (bool, error) {
		batches, err := n.store.Batches(ctx, issuance.BatchFilter{})
		if err != nil {
			return false, err
		}
		accepted, refused := 0, 0
		for _, b := range batches {
			switch b.State {
			case issuance.BatchLoading, issuance.BatchHeld:
			case issuance.BatchRefused:
				refused++
			default:
				accepted++
			}
		}
		n.show.set("files taken", int64(accepted+refused), int64(good+bad))
		return accepted+refused == good+bad, nil
	})
}

// submitted waits until D1 has every order, and kills the daemon on the way.
func (n *night) submitted(ctx context.Context) error {
	err := n.wait(ctx, func() (bool, error) {
		t, err := n.totals(ctx)
		n.sum.Interrupted = t.State(issuance.Submitting)
		return err == nil && n.sum.Interrupted > 0 &&
			float64(t.State(issuance.Submitted)) >= killAt*float64(n.orders), err
	})
	if err != nil {
		return err
	}
	n.show.say("killing the daemon while it sends (kill -9)")
	if err := n.daemon.Kill(); err != nil {
		return err
	}
	t, err := n.totals(ctx)
	if err != nil {
		return err
	}
	n.sum.Interrupted = t.State(issuance.Submitting)
	n.show.say(fmt.Sprintf("starting it again; %d orders were in flight", n.sum.Interrupted))
	if err := n.daemon.Start(ctx); err != nil {
		return err
	}
	n.sum.Restarts++
	return n.wait(ctx, func() (bool, error) {
		t, err := n.totals(ctx)
		return err == nil && t.Open() == 0, err
	})
}

// produced waits until the Shopfloor has made and shipped every card and every
// batch has heard so.
func (n *night) produced(ctx context.Context) error {
	return n.wait(ctx, func() (bool, error) {
		if _, err := n.totals(ctx); err != nil {
			return false, err
		}
		batches, err := n.store.Batches(ctx, issuance.BatchFilter{})
		if err != nil {
			return false, err
		}
		for _, b := range batches {
			if b.State != issuance.BatchClosed && b.State != issuance.BatchRefused {
				return false, nil
			}
		}
		return n.world.D1.Idle(), nil
	})
}

// reported waits until the back office has the last edition of every file.
func (n *night) reported(ctx context.Context) error {
	return n.wait(ctx, func() (bool, error) {
		found, err := readReports(n.world.Path("sftp/reports"))
		if err != nil {
			return false, err
		}
		n.sum.ReportFiles = found.files
		batches, err := n.store.Batches(ctx, issuance.BatchFilter{})
		if err != nil {
			return false, err
		}
		t, err := n.totals(ctx)
		if err != nil {
			return false, err
		}
		n.show.set("reports written", int64(found.files), 0)
		return found.complete(batches, &t), nil
	})
}

// openStore opens the daemon's store to look at, once the daemon has made it.
func (n *night) openStore() (bool, error) {
	s, err := store.Open(context.Background(), store.Config{
		Path: n.world.Store(), ReadOnly: true,
	})
	if errors.Is(err, store.ErrSchema) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n.store = s
	n.world.OnClose(s.Close)
	return true, nil
}

// totals adds up the accepted files and shows them.
func (n *night) totals(ctx context.Context) (issuance.Totals, error) {
	var sum issuance.Totals
	batches, err := n.store.Batches(ctx, issuance.BatchFilter{})
	if err != nil {
		return sum, err
	}
	for _, b := range batches {
		if b.State == issuance.BatchRefused || b.State == issuance.BatchLoading {
			continue
		}
		t, err := n.store.BatchTotals(ctx, b.No)
		if err != nil {
			return sum, err
		}
		sum.Merge(t)
	}
	toSend := sum.Rows - sum.State(issuance.Rejected) - sum.State(issuance.Duplicate)
	n.show.set("orders submitted", sum.State(issuance.Submitted), toSend)
	n.show.set("cards shipped", sum.Phase(issuance.Shipped)+sum.Phase(issuance.Failed), toSend)
	return sum, nil
}

var errPatience = fmt.Errorf("nothing more happened within %s", patience)

// wait asks a few times a second until done says so.
func (n *night) wait(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-n.daemon.Done():
			return fmt.Errorf("the daemon died: %w; see its log, state/daemon.log", n.daemon.Err())
		case <-timeout.C:
			return errPatience
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// conclude collects what each side says at the end.
func (n *night) conclude(ctx context.Context) error {
	totals, err := n.totals(ctx)
	if err != nil {
		return err
	}
	n.sum.setTotals(&totals)
	batches, err := n.store.Batches(ctx, issuance.BatchFilter{})
	if err != nil {
		return err
	}
	n.sum.FilesDropped = n.bank.dropped
	for _, b := range batches {
		if b.State == issuance.BatchRefused {
			n.sum.FilesRefused++
			n.sum.refusals = append(n.sum.refusals, refusal{b.FileName, string(b.Code), b.Reason})
		} else {
			n.sum.FilesAccepted++
		}
	}
	found, err := readReports(n.world.Path("sftp/reports"))
	if err != nil {
		return err
	}
	n.sum.ReportFiles, n.sum.ReportedRows = found.files, found.rows()
	found.compare(&totals, &n.sum)
	d1 := n.world.D1.Summary()
	n.sum.ProducedAtD1, n.sum.ProducedTwice = int64(d1.CardsProduced), int64(d1.ProducedTwice)
	n.sum.conclude()
	return nil
}
