package localdir

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// renameNew renames in one step that fails when the target exists.
func renameNew(root *os.Root, fromDir, toDir *os.File, from, to string) error {
	err := unix.Renameat2(int(fromDir.Fd()), path.Base(from), int(toDir.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return linkRename(root, from, to) // the file system (NFS, some FUSE) or a sandbox does not know it
	}
	return err
}
