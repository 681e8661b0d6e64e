package sftptest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	pkgsftp "github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"cardbatch/internal/drop/sftp/sftptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, dir string) *sftptest.Server {
	t.Helper()
	server, err := sftptest.Start(sftptest.Config{Dir: dir, Users: []sftptest.User{{Name: "u", Password: "fake"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// client is the plain library, without the care of our own client.
func client(t *testing.T, server *sftptest.Server) *pkgsftp.Client {
	t.Helper()
	conn, err := ssh.Dial("tcp", server.Addr(), &ssh.ClientConfig{
		User: "u", Auth: []ssh.AuthMethod{ssh.Password("fake")}, HostKeyCallback: ssh.FixedHostKey(hostKey(t, server)),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pkgsftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = c.Close() })
	return c
}

func hostKey(t *testing.T, server *sftptest.Server) ssh.PublicKey {
	t.Helper()
	_, _, key, _, _, err := ssh.ParseKnownHosts([]byte(server.KnownHosts()))
	if err != nil {
		t.Fatal(err)
	}
	if ssh.FingerprintSHA256(key) != server.Fingerprint() {
		t.Fatal("known_hosts line and fingerprint differ")
	}
	return key
}

func plant(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNothingLeadsOut(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "served")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	plant(t, filepath.Join(outside, "secret"))
	plant(t, filepath.Join(dir, "mine"))
	if err := os.Symlink("..", filepath.Join(dir, "up")); err != nil {
		t.Fatal(err)
	}
	c := client(t, start(t, dir))
	for _, name := range []string{
		"../secret", "/../secret", "up/secret", "/up/secret", "x/../../secret", filepath.Join(outside, "secret"),
	} {
		if f, err := c.Open(name); err == nil {
			_ = f.Close()
			t.Errorf("open %s worked", name)
		}
		if _, err := c.Stat(name); err == nil {
			t.Errorf("stat %s worked", name)
		}
		if err := c.Remove(name); err == nil {
			t.Errorf("remove %s worked", name)
		}
		if err := c.Rename(name, "taken"); err == nil {
			t.Errorf("rename %s worked", name)
		}
	}
	for _, name := range []string{"up/new", "up/new/"} {
		if f, err := c.Create(name); err == nil {
			_ = f.Close()
			t.Errorf("create %s worked", name)
		}
		if err := c.Mkdir(name); err == nil {
			t.Errorf("mkdir %s worked", name)
		}
		if err := c.Rename("mine", name); err == nil {
			t.Errorf("rename to %s worked", name)
		}
	}
	if err := c.Symlink("/etc/passwd", "link"); err == nil {
		t.Error("symlink worked")
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 2 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

func TestPlainRenameRefusesToReplace(t *testing.T) {
	dir := t.TempDir()
	plant(t, filepath.Join(dir, "a"))
	plant(t, filepath.Join(dir, "b"))
	c := client(t, start(t, dir))
	if err := c.Rename("a", "b"); err == nil {
		t.Error("a file was replaced")
	}
	if err := c.Rename("a", "c"); err != nil {
		t.Error(err)
	}
	if err := c.Rename("a", "d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("renaming what is gone: %v", err)
	}
}

func TestRestartKeepsTheAddress(t *testing.T) {
	server := start(t, t.TempDir())
	addr := server.Addr()
	server.Stop()
	if _, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(nil)}); err == nil {
		t.Fatal("a stopped server answers")
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if server.Addr() != addr {
		t.Errorf("address %s, was %s", server.Addr(), addr)
	}
	if _, err := client(t, server).ReadDir("."); err != nil {
		t.Error(err)
	}
	if err := server.Start(); err == nil {
		t.Error("started twice")
	}
}

func TestDirectories(t *testing.T) {
	c := client(t, start(t, t.TempDir()))
	if err := c.Mkdir("d"); err != nil {
		t.Fatal(err)
	}
	if info, err := c.Stat("d"); err != nil || !info.IsDir() {
		t.Errorf("stat: %v, %v", info, err)
	}
	if err := c.Rename("d", "e"); err != nil {
		t.Error(err)
	}
	if err := c.RemoveDirectory("e"); err != nil {
		t.Error(err)
	}
}
