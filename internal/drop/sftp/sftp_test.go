package sftp_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"cardbatch/internal/drop"
	"cardbatch/internal/drop/droptest"
	"cardbatch/internal/drop/sftp"
	"cardbatch/internal/drop/sftp/sftptest"
	"cardbatch/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and gives a configuration that it accepts.
func serve(t *testing.T, change ...func(*sftptest.Config)) (*sftptest.Server, sftp.Config) {
	t.Helper()
	cfg := sftptest.Config{Dir: t.TempDir(), Users: []sftptest.User{{Name: "cardbatch", Password: "not-a-real-password"}}}
	for _, c := range change {
		c(&cfg)
	}
	server, err := sftptest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, password(server)
}

// password is a configuration for a server with the account of serve.
func password(server *sftptest.Server) sftp.Config {
	return sftp.Config{
		Address: server.Addr(), User: "cardbatch", Password: secret.New("not-a-real-password"),
		HostKeys: []string{server.Fingerprint()},
	}
}

func connect(t *testing.T, cfg sftp.Config) *sftp.Drop {
	t.Helper()
	d, err := sftp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestConformance(t *testing.T) {
	droptest.Run(t, func(t *testing.T) (drop.Drop, string) {
		t.Helper()
		var dir string
		_, cfg := serve(t, func(c *sftptest.Config) { dir = c.Dir })
		return connect(t, cfg), dir
	})
}

// TestConformanceNasty runs the suite against a server that offers no
// extension, allows one handle a session, sends small packets slowly, and says
// success where it should say why not.
func TestConformanceNasty(t *testing.T) {
	t.Parallel() // it waits most of the time
	droptest.Run(t, func(t *testing.T) (drop.Drop, string) {
		t.Helper()
		var dir string
		server, cfg := serve(t, func(c *sftptest.Config) {
			sftptest.Nasty(c)
			dir = c.Dir
		})
		server.SetDelay(time.Millisecond)
		return connect(t, cfg), dir
	})
}

// TestTheNastyServerIsNasty holds the server to what it promises.
func TestTheNastyServerIsNasty(t *testing.T) {
	var dir string
	server, _ := serve(t, sftptest.Nasty, dirOf(&dir))
	_, _, hostKey, _, _, err := ssh.ParseKnownHosts([]byte(server.KnownHosts()))
	if err != nil {
		t.Fatal(err)
	}
	plant(t, dir, "a.csv", "x")
	plant(t, dir, "b.csv", "y")
	conn, err := ssh.Dial("tcp", server.Addr(), &ssh.ClientConfig{
		User: "cardbatch", Auth: []ssh.AuthMethod{ssh.Password("not-a-real-password")}, HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pkgsftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	for _, extension := range []string{"posix-rename@openssh.com", "fsync@openssh.com", "hardlink@openssh.com", "statvfs@openssh.com"} {
		if _, ok := c.HasExtension(extension); ok {
			t.Errorf("%s is offered", extension)
		}
	}
	if err := c.PosixRename("a.csv", "c.csv"); err == nil {
		t.Error("posix-rename works")
	}
	f, err := c.Open("a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open("b.csv"); err == nil {
		t.Error("a second handle was opened")
	}
	if err := errors.Join(f.Close(), c.Rename("a.csv", "b.csv"), c.Rename("missing", "c.csv"), c.Remove("missing")); err != nil {
		t.Errorf("an honest answer: %v", err)
	}
	wantFiles(t, dir, "a.csv", "b.csv")
}

// TestFullDisk: what does not fit on the server's disk is not there at all, and
// with space it is written.
func TestFullDisk(t *testing.T) {
	for _, at := range []string{"create", "write", "close"} {
		var dir string
		server, cfg := serve(t, dirOf(&dir))
		d := connect(t, cfg)
		var writes atomic.Int32
		server.SetHook(func(op, _ string) error {
			if op == at && (op != "write" || writes.Add(1) > 2) {
				return syscall.ENOSPC
			}
			return nil
		})
		_, err := d.Put(t.Context(), "r.csv", content(500_000))
		if err == nil || errors.Is(err, drop.ErrUnavailable) {
			t.Errorf("full at %s: error %v", at, err)
		}
		wantFiles(t, dir)
		server.SetHook(nil)
		if _, err := d.Put(t.Context(), "r.csv", content(500_000)); err != nil {
			t.Errorf("with space: %v", err)
		}
		wantFiles(t, dir, "r.csv")
	}
}
