// Package jobs embeds the built-in job files: which stage runs when. They are
// data, read by internal/schedule, and described in README.md beside them. A
// file of the same name in the configured jobs_dir replaces one of these.
package jobs

import "embed"

// FS holds the built-in job files.
//
//go:embed *.yaml
var FS embed.FS
