//go:build !linux

package localdir

import "os"

func renameNew(root *os.Root, _, _ *os.File, from, to string) error {
	return linkRename(root, from, to)
}
