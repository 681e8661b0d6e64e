package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"

	"github.com/spf13/cobra"
)

func newRecheck(s *settings) *cobra.Command {
	var reason, operator string
	cmd := &cobra.Command{
		Use:   "recheck ISSUER...",
		Short: "ask D1 about every order that waits, before any is sent",
		Long: `recheck is for a store that was restored from a backup: orders that wait in it may
have been sent since. It makes all orders of the issuers that are ready unknown, so
that the track job asks D1 about each: what D1 has becomes submitted, what it does
not have is ready again. Run it before the daemon is started, and after everything
that makes orders ready: files that were taken since the backup are dropped again
and picked up, files that the backup has as held are released. An order of a held
file is not asked about, and would be sent when its file is released.

Each order is asked about issuers[].track.not_found_asks times, within
issuers[].track.daily_budget. It is safe to repeat, and while the daemon runs; an
order that is being sent is left alone. Who asked for it and why is kept in the
history.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, operator = strings.TrimSpace(reason), strings.TrimSpace(operator)
			if reason == "" || operator == "" {
				return exitcode.Mark(errors.New("recheck: who and why must be said"), exitcode.Usage, "use --reason and --operator")
			}
			return s.recheck(cmd, args, issuance.Why{Stage: "operator", Operator: operator, Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the history; required")
	cmd.Flags().StringVar(&operator, "operator", currentUser(), "`who` wants it, for the history")
	return cmd
}

// rechecked says of how many orders of an issuer D1 will be asked.
type rechecked struct {
	Issuer string `json:"issuer"`
	Orders int    `json:"orders"`
	Days   int    `json:"days"` // that the questions take, by the daily budget, if D1 has none of them
}

// daysToAsk is how many days' budgets it takes to ask about so many orders that
// D1 does not have.
func daysToAsk(orders int, t config.Track) int {
	return (orders*t.NotFoundAsks + t.DailyBudget - 1) / t.DailyBudget
}

func (s *settings) recheck(cmd *cobra.Command, issuers []string, why issuance.Why) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	tracks := make([]config.Track, len(issuers))
	for n, id := range issuers {
		at := slices.IndexFunc(cfg.Issuers, func(i config.Issuer) bool { return i.ID == id })
		if at < 0 {
			return errNothing("issuer", id)
		}
		tracks[n] = cfg.Issuers[at].Track
	}
	st, err := app.OpenStore(cmd.Context(), cfg, false, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	views := make([]rechecked, 0, len(issuers))
	for i, id := range issuers {
		n, err := st.DoubtReady(cmd.Context(), id, why)
		if err != nil {
			return fmt.Errorf("recheck %s: %w", id, err)
		}
		views = append(views, rechecked{id, n, daysToAsk(n, tracks[i])})
	}
	if s.output == outputJSON {
		return writeJSON(cmd.OutOrStdout(), views)
	}
	for _, v := range views {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: D1 will be asked about %d orders before they are sent\n", v.Issuer, v.Orders); err != nil {
			return err
		}
		if v.Days <= 1 {
			continue
		}
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s: up to %d days' budgets of questions; raise issuers[].track.daily_budget, or they wait that long\n", v.Issuer, v.Days); err != nil {
			return err
		}
	}
	return nil
}
