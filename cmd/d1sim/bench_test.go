package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cardbatch/internal/d1/d1sim/simkeys"
)

// childEnv makes the test binary run as the program.
const childEnv = "D1SIM_TEST_CHILD"

// BenchmarkServerShare runs the program in a process of its own and reports
// the processor time it takes for an order, the client's not counted.
func BenchmarkServerShare(b *testing.B) {
	for _, secure := range []string{"off", "mutual"} {
		for _, skip := range []bool{true, false} {
			b.Run(fmt.Sprintf("tls=%s/skip=%v", secure, skip), func(b *testing.B) { benchmarkShare(b, secure, skip) })
		}
	}
}

func benchmarkShare(b *testing.B, secure string, skip bool) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "keys")
	m, _, err := simkeys.OpenDir(dir, "SIMBANK_01", []string{"127.0.0.1"})
	if err != nil {
		b.Fatal(err)
	}
	out := &output{more: make(chan struct{}, 1)}
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	child := exec.CommandContext(context.Background(), exe, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--dir", dir,
		"--tls", secure, "--rate", "0", "--day", "1h", "--skip-decryption="+strconv.FormatBool(skip))
	child.Env = append(os.Environ(), childEnv+"=1")
	child.Stdout, child.Stderr = out, os.Stderr
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	for !strings.Contains(out.String(), "one day") {
		<-out.more
	}
	h2 := secure == "mutual"
	tr := &http.Transport{MaxIdleConnsPerHost: 64, ForceAttemptHTTP2: h2,
		TLSClientConfig: &tls.Config{RootCAs: m.CA.Pool(), Certificates: []tls.Certificate{m.Client}}}
	defer tr.CloseIdleConnections()
	c := &shareClient{http: &http.Client{Transport: tr}, m: m, base: findIn(b, out.String())}
	c.login(b)
	b.SetParallelism(16)
	b.ResetTimer()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.order(strconv.FormatInt(n.Add(1), 10)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	if err := child.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		b.Fatal(err)
	}
	usage := child.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/order")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}

type shareClient struct {
	http             *http.Client
	m                *simkeys.Material
	base, auth       string
	bodyHead, bodyTo string
}

func findIn(b *testing.B, said string) string {
	b.Helper()
	_, rest, _ := strings.Cut(said, "orders    ")
	base, _, ok := strings.Cut(rest, "\n")
	if !ok {
		b.Fatalf("no address in\n%s", said)
	}
	return base
}

func (c *shareClient) login(b *testing.B) {
	b.Helper()
	assertion, err := c.m.Keys.Assertion(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	resp, err := c.http.PostForm(strings.Replace(c.base, "/banking/v1", "/authz/v1/oauth2/token", 1), form)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		b.Fatal(err)
	}
	c.auth = "Bearer " + answer.Token
	jwe, err := c.m.Keys.Encrypt([]byte(`{"pan":"4111111111111111","exp":"2906","name":"MADE UP"}`))
	if err != nil {
		b.Fatal(err)
	}
	const address = `{"firstName":"Made","lastName":"Up","line1":"10 Test Street","zipCode":"10001","city":"Testville","countryCode":"US"}`
	c.bodyHead = `{"distributionChannel":"THALES","cardProductId":"VISA_DEBIT_STD","issuerRequestId":"ord-`
	c.bodyTo = `","services":{"issuance":"CREATION","delivery":"usps-imb"},"encryptedData":"` + jwe +
		`","paymentApplication":{"config":"visa-di-01","odaKeyIndex":"01","derivationKeyIndex":"01"},` +
		`"shipment":{"type":"INDIVIDUAL","deliveryAddress":` + address + `,"individualAddress":` + address + `}}`
}

func (c *shareClient) order(id string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		c.base+"/issuers/SIMBANK_01/physicalCards/card-"+id+"/operations:production", strings.NewReader(c.bodyHead+id+c.bodyTo))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", c.auth)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	return err
}
