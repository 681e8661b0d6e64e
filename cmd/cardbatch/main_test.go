package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cardbatch/internal/config"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cardbatch": main})
}

// Every script is one behaviour of the command line, with its files.
func TestScripts(t *testing.T) {
	samples, err := filepath.Abs("../../samples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SAMPLES", samples)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"keys":  keys,
			"serve": serve,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "configured" {
				return false, errors.New("unknown condition")
			}
			_, err := os.Stat(config.DefaultPath)
			return err == nil, nil
		},
		RequireUniqueNames: true,
	})
}

// exits CODE COMMAND... runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// serve CONFIG starts the daemon, waits until it is ready, tells it to stop, and
// leaves its log in the file serve.log. The exit code must be 0.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	program, err := exec.LookPath("cardbatch")
	ts.Check(err)
	cmd := exec.Command(program, "serve", "--config", args[0])
	cmd.Dir = ts.MkAbs(".")
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var log strings.Builder
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), `"message":"ready"`) {
			ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("serve.log"), []byte(log.String()), 0o600))
	if err := cmd.Wait(); err != nil {
		ts.Fatalf("serve: %v\n%s", err, log.String())
	}
}

// keys makes the key files that a configuration names.
func keys(ts *testscript.TestScript, _ bool, _ []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	ts.Check(err)
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	for name, text := range map[string]string{
		"token.pem":       string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"jwe.pem":         string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		"seal.key":        hex.EncodeToString(secret),
		"fingerprint.key": hex.EncodeToString(secret[16:]) + hex.EncodeToString(secret[:16]),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
