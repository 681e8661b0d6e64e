package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"

	"cardbatch/internal/app"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"

	"github.com/spf13/cobra"
)

func newRelease(s *settings) *cobra.Command {
	var o decision
	cmd := &cobra.Command{
		Use:   "release BATCH|ORDER",
		Short: "let a held file pass, or a held order or change go on",
		Long: `release takes an order file that is complete but held, because a sequence number
before it is missing. The next pickup takes those that were held behind it, and
the missing file is still taken when it arrives.

Of an order that is held it says that it may go on: one that never left is sent,
and about one whose outcome is not known D1 is asked once more. Only with
--resend is that one sent again at once: say it when you know from Thales that D1 does
not have the order, or the card may be made twice. With --change the same goes
for the held change of the order. Who released it and why is kept in the history.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			why, err := o.why("release")
			if err != nil {
				return err
			}
			if o.change {
				return s.decide(cmd, args[0], o, why, releaseChange)
			}
			b, err := s.release(cmd, args[0], why)
			if errors.Is(err, issuance.ErrNotFound) {
				return s.decide(cmd, args[0], o, why, releaseOrder)
			}
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
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.sure, "resend", false, "send the order or change again without asking: you know that D1 does not have it")
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
