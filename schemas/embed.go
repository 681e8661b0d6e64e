// Package schemas embeds the contracts with other parties, so that the program
// checks files against the very documents it publishes. README.md describes
// them.
package schemas

import "embed"

// FS holds every contract by its file name.
//
//go:embed *.json
var FS embed.FS

// The contracts' file names.
const (
	OrderFileV1   = "order-file.v1.table.json"
	ChangeFileV1  = "change-file.v1.table.json"
	ControlFileV1 = "control-file.v1.schema.json"
	RejectCodesV1 = "reject-codes.v1.json"
)
