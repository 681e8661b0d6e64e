package ops

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// The states [Notify] tells.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
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

// Watchdog returns how often systemd wants to be told that the daemon is alive,
// half of WatchdogSec; 0 when it does not.
func Watchdog() time.Duration {
	pid := os.Getenv("WATCHDOG_PID")
	micros, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	return time.Duration(micros) * time.Microsecond / 2
}
