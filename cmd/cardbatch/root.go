package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/ops"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// settings are the flags that every command has.
type settings struct {
	config string
	output string
}

const (
	outputTable = "table"
	outputJSON  = "json"
)

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) exitcode.Code {
	started := false
	root := newRoot(&started) //nolint:contextcheck // commands get theirs from cobra
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !started {
		// cobra found fault with the command line itself.
		err = exitcode.Mark(err, exitcode.Usage, "`cardbatch help` shows the commands and their flags")
	}
	complain(stderr, err)
	return exitcode.Of(err)
}

func newRoot(started *bool) *cobra.Command {
	s := &settings{}
	root := &cobra.Command{
		Use:   "cardbatch",
		Short: "card orders from core banking to Thales D1, and the answers back",
		Long: `cardbatch takes card-order files from a file drop, checks and encrypts them,
orders each card from Thales D1 exactly once, follows production and shipment,
and reports every row back.

Exit codes: 0 done; 1 failed; 2 usage; 3 done, with rejected orders;
4 configuration invalid; 5 out of balance; 6 an outside dependency is down;
7 another process is doing it; 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if s.output != outputTable && s.output != outputJSON {
				return fmt.Errorf("--output is table or json, not %q", s.output)
			}
			*started = true
			return nil
		},
	}
	path := os.Getenv("CARDBATCH_CONFIG")
	if path == "" {
		path = config.DefaultPath
	}
	root.PersistentFlags().StringVar(&s.config, "config", path, "configuration `file`; also $CARDBATCH_CONFIG")
	root.PersistentFlags().StringVar(&s.output, "output", outputTable, "`form` of the output: table or json")
	root.AddCommand(
		newServe(s), newRun(s), newCheck(s), newValidate(s),
		newBatches(s), newOrders(s), newRuns(s),
		newReport(s), newSample(s), newRelease(s), newCancel(s), newRecheck(s), newNews(s), newSecret(s), newMigrate(s), newVersion(s),
	)
	return root
}

// complain writes an error the way all our errors look.
func complain(w io.Writer, err error) {
	if err == nil {
		return
	}
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	text := strings.Join(lines, "\n  ")
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	_, _ = fmt.Fprintf(w, "cardbatch: %s\n", text)
	if hint := exitcode.Hint(err); hint != "" {
		_, _ = fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// load reads the configuration.
func (s *settings) load() (*config.Config, error) {
	cfg, err := config.Load(s.config)
	if errors.Is(err, os.ErrNotExist) {
		return nil, exitcode.Mark(err, exitcode.Config, "--config names the configuration; samples/config/cardbatch.yaml is one to start from")
	}
	return cfg, err
}

// logger logs to the command's standard error as the configuration says.
func logger(cmd *cobra.Command, cfg *config.Config) zerolog.Logger {
	return ops.NewLogger(cmd.ErrOrStderr(), cfg.Log.Level, cfg.Log.Format, now)
}
