// Package samples embeds the sample configuration, whose products serve as the
// rules of `cardbatch validate` on a machine that has no configuration. The
// other folders here hold files to try things with; each is read by a test.
package samples

import "embed"

// Config holds config/cardbatch.yaml.
//
//go:embed config/cardbatch.yaml
var Config embed.FS

// ConfigPath is the sample configuration's name in [Config].
const ConfigPath = "config/cardbatch.yaml"
