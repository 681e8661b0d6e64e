package ops

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// DiskFree returns how many bytes can still be written below a directory.
func DiskFree(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("look how much room is left: %w", err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}
