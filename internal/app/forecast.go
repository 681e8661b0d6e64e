package app

import (
	"context"
	"fmt"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
	"cardbatch/internal/submit"
)

// Forecast says when the ready orders of a batch will have been sent.
type Forecast struct {
	submit.Forecast
	Ready     int64
	PerSecond float64 // orders, of the whole issuer
	Observed  bool    // PerSecond was seen lately; otherwise it is what is agreed
}

// The pace that is taken for the present one.
const (
	paceSpan  = 5 * time.Minute
	paceFresh = time.Minute
	paceLeast = 5 * time.Second // measured over less it says nothing
)

// Forecasts says, for every batch that has ready orders, when they will have
// been sent: after all that is more urgent or came before, at the speed lately
// seen or else the one agreed, in the hours that windows and cut-off leave.
func Forecasts(ctx context.Context, cfg *config.Config, st *store.Store, now time.Time) (map[issuance.BatchNo]Forecast, error) {
	found := map[issuance.BatchNo]Forecast{}
	for _, i := range cfg.Issuers {
		waiting, err := st.Waiting(ctx, i.ID)
		if err != nil {
			return nil, fmt.Errorf("forecast for %s: %w", i.ID, err)
		}
		if len(waiting) == 0 {
			continue
		}
		speed, observed := ordersPerSecond(i), false
		n, first, last, err := st.Pace(ctx, i.ID, now.Add(-paceSpan))
		if err != nil {
			return nil, fmt.Errorf("forecast for %s: %w", i.ID, err)
		}
		if span := last.Sub(first); span >= paceLeast && now.Sub(last) < paceFresh {
			speed, observed = float64(n)/span.Seconds(), true
		}
		var urgent, normal int64
		for _, w := range waiting {
			if w.Urgency == issuance.Urgent {
				urgent += w.Orders
			} else {
				normal += w.Orders
			}
			f := found[w.BatchNo]
			left := f.Left
			f.Forecast = submit.Predict(i.Hours(), now, urgent, normal, speed)
			f.Left = left + min(f.Left, w.Orders)
			f.Ready, f.PerSecond, f.Observed = f.Ready+w.Orders, speed, observed
			found[w.BatchNo] = f
		}
	}
	return found, nil
}

// ordersPerSecond is how many orders may go at most, as agreed.
func ordersPerSecond(i config.Issuer) float64 {
	if i.Submit.Mode == config.SubmitBatch {
		return i.Submit.Batch.RequestsPerSecond * float64(i.Submit.Batch.MaxOrders)
	}
	return i.Rate.RequestsPerSecond
}
