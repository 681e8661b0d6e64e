package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main() // the benchmark runs this binary as the program
	}
	goleak.VerifyTestMain(m)
}

// output collects what the program prints and tells when it has said that much.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	select {
	case o.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs the program until the test ends; it returns what the program
// says at its start, and a function that stops it and returns everything.
func start(t *testing.T, args ...string) (string, func() (string, error)) {
	t.Helper()
	out := &output{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	args = append([]string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
	go func() { done <- command(args, out).ExecuteContext(ctx) }()
	stop := sync.OnceValues(func() (string, error) {
		cancel()
		err := <-done
		return out.String(), err
	})
	t.Cleanup(func() { _, _ = stop() })
	deadline := time.After(20 * time.Second)
	for !strings.Contains(out.String(), "one day") {
		select {
		case <-out.more:
		case err := <-done:
			t.Fatalf("ended at once: %v", err)
		case <-deadline:
			t.Fatal("it says nothing")
		}
	}
	return out.String(), stop
}

func find(t *testing.T, said, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no %s in\n%s", pattern, said)
	}
	return m[1]
}

func TestMutualTLSWithTheMaterialItMakes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	said, stop := start(t, "--dir", dir)
	if !strings.Contains(said, "made now") || !strings.Contains(said, "mutual") {
		t.Errorf("it says\n%s", said)
	}
	m, _, err := simkeys.OpenDir(dir, "SIMBANK_01", nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.CA.Pool(), Certificates: []tls.Certificate{m.Client}}}
	defer tr.CloseIdleConnections()
	assertion, err := m.Keys.Assertion(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Post(find(t, said, `tokens +(\S+)`), "application/x-www-form-urlencoded",
		strings.NewReader("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="+assertion))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("token: %d", resp.StatusCode)
	}
	all, err := stop()
	if err != nil || !strings.Contains(all, `"tokens_issued":1`) {
		t.Errorf("stopped with %v, saying\n%s", err, all)
	}
}

const configFile = `
tls: "off"
dir: keys
issuer: CONFBANK_1
time_zone: Europe/Paris
products:
  - id: VISA_DEBIT_STD
    bins: ["411111"]
    countries: [FR]
settings:
  day: 3s
  duplicates: reject
  production: {data_exception: 0.1}
notifications:
  batch_size: 50
  retry_plan: [1s, 2s]
floor:
  cut_off: 16h
  slas:
    - {priority: URGENT, hours: 2, before: 10h}
    - {days: 3}
`

func TestConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "uat.yaml")
	if err := os.WriteFile(path, []byte(configFile), 0o600); err != nil {
		t.Fatal(err)
	}
	said, _ := start(t, "--config", path, "--duplicates", "blind")
	if !strings.Contains(said, "CONFBANK_1") || !strings.Contains(said, "takes 3s") || !strings.Contains(said, filepath.Join(dir, "keys")) {
		t.Errorf("it says\n%s", said)
	}
	resp, err := http.Get(strings.Replace(find(t, said, `admin +(\S+)`), "ledger", "settings", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Day        string `json:"day"`
		Duplicates string `json:"duplicates"`
		Rate       struct {
			PerSecond float64 `json:"per_second"`
		} `json:"rate_limit"`
		Production struct {
			DataException float64 `json:"data_exception"`
		} `json:"production"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	if set.Day != "3s" || set.Duplicates != d1sim.DuplicatesBlind || set.Rate.PerSecond != 20 || set.Production.DataException != 0.1 {
		t.Errorf("settings %s: the flag must win over the file, the file over the default", b)
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys := filepath.Join(dir, "keys")
	tests := []struct {
		name, want string
		code       int
		args       []string
	}{
		{"unknown flag", "unknown flag", 2, []string{"--bogus"}},
		{"argument", "unknown command", 2, []string{"order"}},
		{"unknown key", "[2:3]", 4, []string{"--config", write("a.yaml", "settings:\n  dai: 3s\n")}},
		{"no such file", "no such file", 4, []string{"--config", filepath.Join(dir, "none.yaml")}},
		{"issuer", "not 10", 4, []string{"--issuer", "BANK"}},
		{"tls", "want off", 4, []string{"--tls", "maybe"}},
		{"mode", "duplicate mode", 4, []string{"--dir", keys, "--duplicates", "maybe"}},
		{"zone", "time_zone", 4, []string{"--dir", keys, "--config", write("b.yaml", "time_zone: Nowhere/Here\n")}},
		{"address", "listen", 1, []string{"--dir", keys, "--listen", "256.0.0.1:1"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := command(tc.args, io.Discard).ExecuteContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) || exitCode(err) != tc.code {
				t.Errorf("exit %d, %v; want %d, %s", exitCode(err), err, tc.code, tc.want)
			}
		})
	}
	if exitCode(nil) != 0 || exitCode(errors.New("x")) != 1 {
		t.Error("exit codes")
	}
}

func TestSwitchesOfTheRunningProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	said, _ := start(t, "--dir", dir)
	m, _, err := simkeys.OpenDir(dir, "SIMBANK_01", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	token := func(certs ...tls.Certificate) (int, int) { // HTTP status and version
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.CA.Pool(), Certificates: certs}, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		assertion, err := m.Keys.Assertion(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: tr}).Post(find(t, said, `tokens +(\S+)`), "application/x-www-form-urlencoded",
			strings.NewReader("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="+assertion))
		if err != nil {
			return 0, 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode, resp.ProtoMajor
	}
	if status, _ := token(); status != 0 {
		t.Errorf("mutual TLS without a certificate: %d", status)
	}
	var out bytes.Buffer
	if err := command([]string{"--dir", dir, "--renew-client"}, &out).ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "serial") {
		t.Fatalf("renew: %v, %s", err, out.String())
	}
	renewed, _, err := simkeys.OpenDir(dir, "SIMBANK_01", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, proto := token(renewed.Client); status != http.StatusOK || proto != 2 || renewed.Client.Leaf.Equal(m.Client.Leaf) {
		t.Errorf("with the renewed certificate: %d over HTTP/%d", status, proto)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, strings.Replace(find(t, said, `admin +(\S+)`), "ledger", "settings", 1),
		strings.NewReader(`{"client_certificate":"off","faults":{"token_error":1,"token_status":429}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if status, _ := token(); resp.StatusCode != http.StatusOK || status != http.StatusTooManyRequests {
		t.Errorf("PATCH %d; a token without a certificate: %d", resp.StatusCode, status)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out bytes.Buffer
	if err := command([]string{"--help"}, &out).ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--listen", "--dir", "--notify", "--duplicates", "--renew-client", "admin/ledger", "admin/events", "admin/jwe-keys", "Exit codes"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %s", want)
		}
	}
}

// The example names every key there is, with its default where it says so.
func TestExampleIsComplete(t *testing.T) {
	var out bytes.Buffer
	if err := command([]string{"--example"}, &out).ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	uncommented := regexp.MustCompile(`(?m)^( *)# ( *(?:- )?\{?[a-z_0-9-]+: ?)`).ReplaceAllString(out.String(), "$1$2")
	uncommented = regexp.MustCompile(`(?m)^( *)#   (  - |- )`).ReplaceAllString(uncommented, "$1  - ")
	for name, doc := range map[string]string{"as it stands": out.String(), "with every key": uncommented} {
		path := filepath.Join(t.TempDir(), "example.yaml")
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		o := defaultOptions()
		if err := o.readFile(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if full := name != "as it stands"; full != (o.Settings.Faults.ErrorStatus == 503) || full != (len(o.Floor.SLAs) == 3) ||
			full != (len(o.TokenKeys) == 1) || o.Settings.Production.OnHold != 0.01 {
			t.Errorf("%s: read as %+v %+v", name, o.Settings.Faults, o.Floor)
		}
	}
	for _, key := range yamlKeys(reflect.TypeFor[options]()) {
		if !regexp.MustCompile(`(?m)[ {#]` + key + `:|^` + key + `:`).MatchString(out.String()) {
			t.Errorf("the example lacks %s", key)
		}
	}
}

// The README explains every fault, and every setting there is by name.
func TestReadmeIsComplete(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	faults := yamlKeys(reflect.TypeFor[d1sim.Faults]())
	for _, key := range append(faults, "latency", "rate_limit", "status_lag", "duplicates", "batch_answer", "client_certificate",
		"production", "changes", "notification_retry_plan") {
		if !bytes.Contains(b, []byte("`"+key+"`")) {
			t.Errorf("the README lacks %s", key)
		}
	}
	for _, mode := range []string{d1sim.BatchPerCard, d1sim.BatchAll, d1sim.BatchAccepted, d1sim.CertificateRequired,
		d1sim.CertificateNamed, d1sim.RetryAfterSeconds, d1sim.RetryAfterDate, d1sim.RetryAfterNone} {
		if !bytes.Contains(b, []byte("`"+mode+"`")) {
			t.Errorf("the README lacks the mode %s", mode)
		}
	}
}

func yamlKeys(typ reflect.Type) []string {
	var keys []string
	for typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() {
		return nil
	}
	for i := range typ.NumField() {
		if tag := typ.Field(i).Tag.Get("yaml"); tag != "-" {
			keys = append(append(keys, tag), yamlKeys(typ.Field(i).Type)...)
		}
	}
	return keys
}
