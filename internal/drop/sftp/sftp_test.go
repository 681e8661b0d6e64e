package sftp_test

import (
	"testing"

	"go.uber.org/goleak"

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
