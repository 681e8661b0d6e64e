package submit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cardbatch/internal/issuance"
)

// Queue tells what waits to be sent. A Runner that has none claims in order to
// see, sends at all hours what it claims, and forecasts nothing.
type Queue interface {
	// Waiting counts ready orders in the order in which they will be sent.
	Waiting(ctx context.Context, issuerID string) ([]issuance.Waiting, error)
	// ClaimUrgent is ClaimReady for urgent orders only.
	ClaimUrgent(ctx context.Context, issuerID, session string, max int) ([]issuance.Claim, error)
}

// errHours ends a run when the hours say so. It is not an error of the run.
var errHours = errors.New("the hours for sending are over")

// leave is what the hours allow at a time.
type leave struct {
	normal, urgent bool
	since, until   time.Time // zero: for more than a month
}

// allowed says what may be sent, and until when that holds.
func (r *Runner) allowed(now time.Time) leave {
	if r.Hours == nil {
		return leave{normal: true, urgent: true}
	}
	phase := r.Hours.At(now)
	return leave{phase.Normal, phase.Urgent, now, phase.Until}
}

// idle reports whether there is nothing that this run may do, and tells why
// when that is news.
func (r *Runner) idle(ctx context.Context, sum *Summary) (bool, error) {
	now := r.Now()
	may := r.allowed(now)
	if !may.normal && !may.urgent {
		r.rest(now, sum)
		return true, nil
	}
	if r.Queue == nil {
		return false, nil
	}
	waiting, err := r.Queue.Waiting(ctx, r.IssuerID)
	if err != nil {
		return false, fmt.Errorf("look at what waits: %w", err)
	}
	q := count(waiting)
	if !may.normal {
		q.dueNormal = 0
		if q.normal > 0 {
			r.rest(now, sum)
		}
	}
	if q.dueUrgent+q.dueNormal == 0 {
		return true, nil
	}
	r.foretell(now, q, 0)
	return false, nil
}

// rest notes until when orders wait, and logs it once.
func (r *Runner) rest(now time.Time, sum *Summary) {
	opens, ok := r.Hours.Opens(now, false)
	if !ok {
		return
	}
	sum.OpensAt = &opens
	if opens.Equal(r.opens) {
		return
	}
	r.opens = opens
	r.Log.Info().Str("stage", "submit").Str("issuer", r.IssuerID).
		Msg("outside the hours for sending: orders wait until " + r.clock(opens))
}

// clock writes a moment as the operator's clock shows it.
func (r *Runner) clock(t time.Time) string {
	if r.Hours != nil && r.Hours.Zone != nil {
		t = t.In(r.Hours.Zone)
	}
	return t.Format("2006-01-02 15:04 MST")
}

// closeIn ends the run when what may be sent changes.
func (p *pass) closeIn() (cancel func() bool) {
	p.leave = p.allowed(p.Now())
	if p.leave.until.IsZero() {
		return func() bool { return true }
	}
	return time.AfterFunc(p.leave.until.Sub(p.Now()), func() { p.stop(errHours) }).Stop
}

// claim claims what may be sent now. It claims nothing, and ends the run, when
// the time is not the run's any more: the clock may have been set.
func (p *pass) claim(ctx context.Context, max int) ([]issuance.Claim, error) {
	closed := !p.leave.normal && !p.leave.urgent // since the run began: the probe took its time
	if now := p.Now(); closed || now.Before(p.leave.since) || !p.leave.until.IsZero() && !now.Before(p.leave.until) {
		p.stop(errHours)
		return nil, nil
	}
	if !p.leave.normal {
		return p.Queue.ClaimUrgent(ctx, p.IssuerID, p.Session, max)
	}
	return p.Store.ClaimReady(ctx, p.IssuerID, p.Session, max)
}
