package d1sim_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simtest"
)

// site is a rig as an issuer and a tester see it: mutual TLS and HTTP/2 for
// the one, the admin endpoint for the other.
type site struct {
	*rig
	d *simtest.Server
}

func newSite(t *testing.T, change func(*d1sim.Config)) *site {
	t.Helper()
	d := simtest.Start(t, func(c *d1sim.Config) {
		c.Settings.SkipDecryption = true
		if change != nil {
			change(c)
		}
	})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return &site{&rig{t: t, sim: d.Sim, keys: d.Keys, url: d.URL, http: d.Client(t)}, d}
}

func (s *site) admin(method, path, body string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.d.AdminURL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// patch switches settings while the simulator runs.
func (s *site) patch(settings string) {
	s.t.Helper()
	if a := s.admin("PATCH", "/settings", settings); a.status != http.StatusOK {
		s.t.Fatalf("patch %s: %d %s", settings, a.status, a.body)
	}
}

func (s *site) events(query string) []d1sim.Event {
	s.t.Helper()
	var out struct {
		Events []d1sim.Event `json:"events"`
	}
	if err := json.Unmarshal([]byte(s.admin("GET", "/events"+query, "").body), &out); err != nil {
		s.t.Fatal(err)
	}
	return out.Events
}

// try sends an order that needs no answer.
func (s *site) try(orderID, cardID string) (answer, error) {
	return s.do("POST", orderPath(cardID), orderBody(orderID, "a..b.c.d"), s.auth()...)
}

// plain makes the site speak HTTP/1.1 from now on.
func (s *site) plain() {
	t := &http.Transport{TLSClientConfig: s.d.ClientTLS()}
	s.t.Cleanup(t.CloseIdleConnections)
	s.http = &http.Client{Transport: t}
}
