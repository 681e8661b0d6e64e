package ops_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// exposed is the worst that `systemd-analyze security` may say of the service,
// from 0 to 10.
const exposed = 1.5

// The units are what systemd takes, and the daemon is locked up as well as it can be.
func TestUnits(t *testing.T) {
	required := strings.Contains(os.Getenv("CARDBATCH_REQUIRE"), "systemd")
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil && !required {
		t.Skip("systemd-analyze is not installed")
	}
	if err != nil {
		t.Fatal("systemd-analyze is required and not installed")
	}
	dir := t.TempDir()
	for _, name := range []string{"cardbatch.service", "cardbatch.socket"} {
		text, err := os.ReadFile("../../systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed here.
		unit := strings.ReplaceAll(string(text), "/usr/bin/cardbatch", "/bin/true")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", filepath.Join(dir, "cardbatch.service"), filepath.Join(dir, "cardbatch.socket")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "cardbatch") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), analyze, "security", "--offline=true", filepath.Join(dir, "cardbatch.service")).CombinedOutput()
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if m == nil && required {
		t.Fatalf("systemd-analyze does not judge the unit: %v\n%s", err, out)
	}
	if m == nil {
		t.Skipf("this systemd-analyze cannot judge a unit offline: %v", err)
	}
	if score, err := strconv.ParseFloat(string(m[1]), 64); err != nil || score > exposed {
		t.Errorf("exposure %s, want %.1f at most\n%s", m[1], exposed, out)
	}
}
