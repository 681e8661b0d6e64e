package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cardbatch/internal/app"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/store"

	"github.com/spf13/cobra"
)

// decision is what a person says about an order or a change of it.
type decision struct {
	reason, operator, issuer string
	change                   bool // it is about the change of the order
	sure                     bool // that D1 does not have it
}

func (d *decision) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.reason, "reason", "", "`why`, for the history; required")
	cmd.Flags().StringVar(&d.operator, "operator", currentUser(), "`who` decides, for the history")
	cmd.Flags().StringVar(&d.issuer, "issuer", "", "the order of this `issuer`, when several have one of that id")
	cmd.Flags().BoolVar(&d.change, "change", false, "not the order, but the change that was asked of it")
}

func (d *decision) why(command string) (issuance.Why, error) {
	reason, operator := strings.TrimSpace(d.reason), strings.TrimSpace(d.operator)
	if reason == "" || operator == "" {
		return issuance.Why{}, exitcode.Mark(errors.New(command+": who and why must be said"), exitcode.Usage, "use --reason and --operator")
	}
	return issuance.Why{Stage: "operator", Operator: operator, Reason: reason}, nil
}

// decided is what a decision led to.
type decided struct {
	OrderID string `json:"order_id"`
	Change  string `json:"change,omitempty"`
	State   string `json:"state"`
	Next    string `json:"next"`
}

// decide writes a decision down and says what follows.
func (s *settings) decide(cmd *cobra.Command, id string, d decision, why issuance.Why,
	do func(context.Context, *store.Store, string, decision, issuance.Why) (decided, error),
) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	st, err := app.OpenStore(cmd.Context(), cfg, false, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	result, err := do(cmd.Context(), st, id, d, why)
	switch {
	case errors.Is(err, issuance.ErrNotFound) && d.change:
		return errNothing("change of order", id)
	case errors.Is(err, issuance.ErrNotFound):
		return errNothing("batch or order", id)
	case errors.Is(err, issuance.ErrOutOfState):
		return exitcode.Mark(fmt.Errorf("%s: %w", cmd.Name(), err), exitcode.Usage, "`cardbatch orders "+id+"` tells its history")
	case err != nil:
		return fmt.Errorf("%s %s: %w", cmd.Name(), id, err)
	}
	if s.output == outputJSON {
		return writeJSON(cmd.OutOrStdout(), result)
	}
	what := "order " + result.OrderID
	if result.Change != "" {
		what = result.Change + " of " + what
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s: %s\n", what, result.State, result.Next)
	return err
}

func releaseOrder(ctx context.Context, st *store.Store, id string, d decision, why issuance.Why) (decided, error) {
	o, err := st.ReleaseOrder(ctx, d.issuer, id, d.sure, why)
	next := "the next submit run sends it"
	if o.State == issuance.Unknown {
		next = "the next track run asks D1 about it"
	}
	return decided{OrderID: o.OrderID, State: string(o.State), Next: next}, err
}

func releaseChange(ctx context.Context, st *store.Store, id string, d decision, why issuance.Why) (decided, error) {
	c, err := st.ReleaseChange(ctx, d.issuer, id, d.sure, why)
	next := "the next change run asks D1 about it"
	if c.State == issuance.ChangeWaiting {
		next = "the next change run makes it"
	}
	return decided{OrderID: c.OrderID, Change: string(c.Type), State: string(c.State), Next: next}, err
}

func cancelOrder(ctx context.Context, st *store.Store, id string, d decision, why issuance.Why) (decided, error) {
	o, err := st.CancelOrder(ctx, d.issuer, id, d.sure, why)
	return decided{OrderID: o.OrderID, State: string(o.State), Next: "it is not sent"}, err
}

func withdrawChange(ctx context.Context, st *store.Store, id string, d decision, why issuance.Why) (decided, error) {
	c, err := st.WithdrawChange(ctx, d.issuer, id, why)
	next := "it is not sent"
	if c.Attempts > 0 {
		next = "it is not sent again; D1 may have it all the same"
	}
	return decided{OrderID: c.OrderID, Change: string(c.Type), State: string(c.State), Next: next}, err
}

func newCancel(s *settings) *cobra.Command {
	var d decision
	cmd := &cobra.Command{
		Use:   "cancel ORDER",
		Short: "withdraw an order that was not sent, or a change that was asked of it",
		Long: `cancel takes an order back that waits to be sent or is held. One that D1 has, or
may have, is cancelled by a change file instead; an order that is held because
nobody knows whether D1 has it is cancelled only with --not-at-d1.

With --change it gives up the change of the order that is held or, when none is,
the first that waits. The next change of the order then has its turn. Who
cancelled it and why is kept in the history. Should D1 have it all the same, what it
says about it still counts.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			why, err := d.why("cancel")
			if err != nil {
				return err
			}
			if d.change {
				return s.decide(cmd, args[0], d, why, withdrawChange)
			}
			return s.decide(cmd, args[0], d, why, cancelOrder)
		},
	}
	d.flags(cmd)
	cmd.Flags().BoolVar(&d.sure, "not-at-d1", false, "you know that D1 does not have the order")
	return cmd
}
