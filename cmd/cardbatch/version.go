package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionView is what is known of the build.
type versionView struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func version() versionView {
	v := versionView{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func newVersion(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "show what was built, and from what",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := version()
			if s.output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), v)
			}
			revision := v.Revision
			if len(revision) > 12 {
				revision = revision[:12]
			}
			if v.Modified {
				revision += " modified"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "cardbatch %s\nrevision  %s\nbuilt of  %s\nwith      %s %s\n",
				v.Version, orDash(revision), orDash(v.Time), v.Go, v.Platform)
			return err
		},
	}
}
