package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"cardbatch/internal/app"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"

	"github.com/spf13/cobra"
)

func newRelease(s *settings) *cobra.Command {
	var reason, operator string
	cmd := &cobra.Command{
		Use:   "release BATCH",
		Short: "let a held order file pass: its orders are sent from now on",
		Long: `release takes an order file that is complete but held, because a sequence number
before it is missing. The next pickup takes those that were held behind it, and
the missing file is still taken when it arrives. Who released it and why is kept
in the history.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, operator = strings.TrimSpace(reason), strings.TrimSpace(operator)
			if reason == "" || operator == "" {
				return exitcode.Mark(errors.New("release: who and why must be said"), exitcode.Usage, "use --reason and --operator")
			}
			b, err := s.release(cmd, args[0], issuance.Why{Stage: "operator", Operator: operator, Reason: reason})
			if err != nil {
				return err
			}
			if s.output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]string{"id": b.ID, "file": b.FileName, "state": string(b.State)})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s (%s) is %s\n", b.ID, b.FileName, b.State)
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the history; required")
	cmd.Flags().StringVar(&operator, "operator", currentUser(), "`who` releases it, for the history")
	return cmd
}

// release accepts a held batch.
func (s *settings) release(cmd *cobra.Command, id string, why issuance.Why) (b issuance.Batch, err error) {
	cfg, err := s.load()
	if err != nil {
		return b, err
	}
	st, err := app.OpenStore(cmd.Context(), cfg, false, now)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	b, err = st.Batch(cmd.Context(), id)
	switch {
	case errors.Is(err, issuance.ErrNotFound):
		return b, errNothing("batch", id)
	case err != nil:
		return b, err
	case b.State != issuance.BatchHeld:
		return b, exitcode.Mark(fmt.Errorf("release %s: it is %s, not held", id, b.State), exitcode.Usage, "`cardbatch batches --state held` lists those that are")
	}
	why.At = now()
	if err := st.DecideBatch(cmd.Context(), b, issuance.BatchAccepted, why); err != nil {
		return b, fmt.Errorf("release %s: %w", id, err)
	}
	return st.Batch(cmd.Context(), id)
}

// currentUser is who sits at the terminal, also behind sudo.
func currentUser() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
