package sftp_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"cardbatch/internal/drop"
	"cardbatch/internal/drop/droptest"
	"cardbatch/internal/drop/sftp"
	"cardbatch/internal/secret"
)

// TestConformanceSSHD runs the suite against OpenSSH's server, started here as
// the current user. Without one the test is skipped, unless CARDBATCH_REQUIRE
// lists sshd.
func TestConformanceSSHD(t *testing.T) {
	cfg := startSSHD(t)
	droptest.Run(t, func(t *testing.T) (drop.Drop, string) {
		t.Helper()
		cfg := cfg
		cfg.Root = t.TempDir()
		return connect(t, cfg), cfg.Root
	})
}

func startSSHD(t *testing.T) sftp.Config {
	t.Helper()
	sshd := findSSHD(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	hostKey, hostPEM := newKeyPEM(t)
	userKey, userPEM := newKeyPEM(t)
	dir := t.TempDir()
	plant(t, dir, "host_key", hostPEM)
	plant(t, dir, "authorized_keys", string(ssh.MarshalAuthorizedKey(userKey)))
	port := freePort(t)
	plant(t, dir, "sshd_config", fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey %s/host_key
AuthorizedKeysFile %s/authorized_keys
PidFile none
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
MaxStartups 100
Subsystem sftp internal-sftp
`, port, dir, dir))
	runSSHD(t, sshd, filepath.Join(dir, "sshd_config"))
	return sftp.Config{
		Address: fmt.Sprintf("127.0.0.1:%d", port), User: me.Username,
		PrivateKey: secret.New(userPEM), HostKeys: []string{ssh.FingerprintSHA256(hostKey)},
	}
}

func findSSHD(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if slices.Contains(strings.Split(os.Getenv("CARDBATCH_REQUIRE"), ","), "sshd") {
		t.Fatal("sshd is required and not installed")
	}
	t.Skip("sshd is not installed")
	return ""
}

func newKeyPEM(t *testing.T) (ssh.PublicKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(block))
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // only its number was wanted
	return listener.Addr().(*net.TCPAddr).Port
}

// runSSHD waits until the server says that it listens.
func runSSHD(t *testing.T, sshd, config string) {
	t.Helper()
	if os.Geteuid() == 0 {
		// Where root's sshd keeps its unprivileged half; packages make it at boot.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatalf("sshd is installed, but cannot run: %v", err)
		}
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening, ended := make(chan bool, 1), make(chan struct{})
	var said bytes.Buffer
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Server listening") {
				listening <- true
				continue
			}
			said.WriteString(lines.Text() + "\n")
		}
		close(listening)
	}()
	ok := <-listening
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	if !ok {
		t.Fatalf("sshd does not start: %s", said.String())
	}
}
