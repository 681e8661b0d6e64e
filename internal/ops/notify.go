package ops

import (
	"fmt"
	"net"
	"os"
)

// The states [Notify] tells.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Notify tells systemd a state. It does nothing when the daemon was not started
// by systemd, or not as Type=notify.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		_ = conn.Close() // the first error says it
		return fmt.Errorf("tell systemd: %w", err)
	}
	return conn.Close()
}
