package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"cardbatch/internal/exitcode"
	"cardbatch/internal/notification"

	"github.com/spf13/cobra"
)

// maxSecret bounds a secret that is read.
const maxSecret = 1024

// secretView is a client secret as JSON.
type secretView struct {
	Secret string `json:"secret,omitempty"`
	Hash   string `json:"hash"`
}

func newSecret(s *settings) *cobra.Command {
	var read bool
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "make a secret for an OAuth client of the notification listener, and its hash",
		Long: `secret makes a client secret by which D1 fetches the tokens that it shows with
notifications, and the hash of it for notifications.oauth.clients[].secret_hashes.
The secret is shown once and kept nowhere: hand it to Thales on the way agreed
for secrets. With --stdin it reads a secret that was made elsewhere, and shows
the hash only.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v secretView
			secret := notification.NewSecret()
			if read {
				b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxSecret+1))
				if err != nil {
					return fmt.Errorf("read the secret: %w", err)
				}
				secret = strings.TrimRight(string(b), "\r\n")
				if len(secret) < 16 || len(secret) > maxSecret {
					return exitcode.Mark(errors.New("the secret is too short or too long to be one: 16 to 1024 characters"), exitcode.Usage, "")
				}
			} else {
				v.Secret = secret
			}
			var err error
			if v.Hash, err = notification.HashSecret(secret); err != nil {
				return err
			}
			if s.output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), v)
			}
			if v.Secret != "" {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "secret  %s\n", v.Secret); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "hash    %s\n", v.Hash)
			return err
		},
	}
	cmd.Flags().BoolVar(&read, "stdin", false, "hash a secret that is read from standard input")
	return cmd
}
