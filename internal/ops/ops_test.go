package ops_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/ops"

	"github.com/google/go-cmp/cmp"
)

func TestScrub(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"card number", `{"err":"row 4111111111111111 bad"}`, `{"err":"row 411111******1111 bad"}`},
		{"in groups", "4111 1111 1111 1111", "4111 11** **** 1111"},
		{"with dashes", "5555-5555-5555-4444", "5555-55**-****-4444"},
		{"15 digits", "378282246310005", "378282*****0005"},
		{"19 digits", "6304000000000000000", "630400*********0000"},
		{"wrong check digit", "4111111111111112", "4111111111111112"},
		{"short", "41111111111", "41111111111"},
		{"two side by side", "41111111111111115555555555554444", "411111******1111555555******4444"},
		{"after another number", "line 7 4111111111111111", "line 7 41111*******1111"},
		{"time", "2026-03-01T22:15:03.123Z", "2026-03-01T22:15:03.123Z"},
		{"file of a day", "cards-20261122-0015.csv", "cards-20261122-0015.csv"}, // its check digit is right
		{"card after a day", "20261121 4111111111111111", "20261121 411111******1111"},
		{"nothing", "hello", "hello"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			n, err := ops.Scrub(&out).Write([]byte(tc.in))
			if err != nil || n != len(tc.in) {
				t.Errorf("wrote %d, %v", n, err)
			}
			if tc.name == "two side by side" {
				if strings.Contains(out.String(), "4111111111111111") || strings.Contains(out.String(), "5555555555554444") {
					t.Errorf("got %s", out.String())
				}
				return
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestScrubReturnsErrors(t *testing.T) {
	if _, err := ops.Scrub(broken{}).Write([]byte("4111111111111111")); err == nil {
		t.Error("an error was swallowed")
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("a 4111111111111111 b")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if n, err := ops.Scrub(&out).Write([]byte(text)); err != nil || n != len(text) || out.Len() != len(text) {
			t.Errorf("%d of %d bytes, %d written, %v", n, len(text), out.Len(), err)
		}
	})
}

func clock() time.Time { return time.Date(2026, 3, 1, 22, 15, 3, 0, time.UTC) }

// zerolog does not look for repeated keys; a line that has one is read
// differently by every reader.
func TestLoggerWritesEachKeyOnce(t *testing.T) {
	var out bytes.Buffer
	log := ops.NewLogger(&out, "info", "json", clock)
	log.Debug().Msg("not shown")
	log.Info().Str("job", "pickup").Err(errors.New("card 4111111111111111")).Msg("run ended")
	line := out.String()
	if strings.Count(line, "\n") != 1 {
		t.Fatalf("want one line, got %q", line)
	}
	seen := map[string]bool{}
	dec := json.NewDecoder(strings.NewReader(line))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		if name, _ := key.(string); seen[name] {
			t.Errorf("key %s twice in %s", name, line)
		} else {
			seen[name] = true
		}
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
	}
	if !seen["time"] || !strings.Contains(line, "2026-03-01T22:15:03.000Z") || strings.Contains(line, "4111111111111111") {
		t.Errorf("got %s", line)
	}
}

func TestConsole(t *testing.T) {
	var out bytes.Buffer
	log := ops.NewLogger(&out, "loud", "console", clock)
	log.Info().Str("order", "4111111111111111").Msg("hello")
	if !strings.Contains(out.String(), "hello") || strings.Contains(out.String(), "4111111111111111") {
		t.Errorf("got %q", out.String())
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := ops.Notify(ops.Ready); err != nil {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "notify.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := ops.Notify(ops.Ready); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", path+".gone")
	if err := ops.Notify(ops.Stopping); err == nil {
		t.Error("a socket that is not there was told")
	}
}

func TestWatchdog(t *testing.T) {
	for _, tc := range []struct {
		pid, usec string
		want      time.Duration
	}{
		{"", "", 0}, {"", "300000000", 150 * time.Second}, {"1", "300000000", 0}, {"", "-1", 0}, {"", "x", 0},
	} {
		t.Setenv("WATCHDOG_PID", tc.pid)
		t.Setenv("WATCHDOG_USEC", tc.usec)
		if got := ops.Watchdog(); got != tc.want {
			t.Errorf("%q %q: %s", tc.pid, tc.usec, got)
		}
	}
}
