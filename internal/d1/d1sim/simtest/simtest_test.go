package simtest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardbatch/internal/d1/d1sim/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func post(ctx context.Context, t *testing.T, d *simtest.Server, c *http.Client) (status, proto int, err error) {
	t.Helper()
	assertion, err := d.Keys.Assertion(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	body := "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + assertion
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.TokenURL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(req)
	if err != nil {
		return 0, 0, err
	}
	return resp.StatusCode, resp.ProtoMajor, resp.Body.Close()
}

func TestItIsReachedOverHTTP2WithACertificateOnly(t *testing.T) {
	d := simtest.Start(t, nil)
	status, proto, err := post(t.Context(), t, d, d.Client(t))
	if err != nil || status != http.StatusOK || proto != 2 || d.Connections() != 1 {
		t.Fatalf("%d HTTP/%d %v, %d connections", status, proto, err, d.Connections())
	}
	bare := &http.Transport{TLSClientConfig: d.ClientTLS(), ForceAttemptHTTP2: true}
	bare.TLSClientConfig.Certificates = nil
	defer bare.CloseIdleConnections()
	if status, _, err := post(t.Context(), t, d, &http.Client{Transport: bare}); err == nil {
		t.Errorf("without a certificate: %d", status)
	}
	look, err := http.Get(d.AdminURL + "/ledger/summary")
	if err != nil || look.StatusCode != http.StatusOK {
		t.Fatalf("admin: %v %v", look, err)
	}
	_ = look.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

func TestASilentConnection(t *testing.T) {
	d := simtest.Start(t, nil)
	c := d.Client(t)
	if _, _, err := post(t.Context(), t, d, c); err != nil {
		t.Fatal(err)
	}
	d.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := post(ctx, t, d, c); err == nil {
		t.Error("answered in silence")
	}
	d.Resume()
	if status, _, err := post(t.Context(), t, d, c); err != nil || status != http.StatusOK {
		t.Errorf("afterwards: %d %v", status, err)
	}
}
