package notification_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
)

// A clock that was ahead and is set right again keeps nobody waiting for it.
func TestClockSetBackKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	now := func() time.Time { return time.Now().UTC().Add(time.Duration(offset.Load())) }
	b := newBench(t, func(c *notification.Config, d *notification.Deps) { c.PerSecond, d.Now = 5, now })
	offset.Store(int64(2 * time.Hour))
	b.send(t, "POST", path, strings.NewReader(good))
	offset.Store(0)
	if code, after := b.send(t, "POST", path, strings.NewReader(good)); code != http.StatusNoContent {
		t.Errorf("answered %d, Retry-After %q", code, after)
	}
	codes := map[int]int{}
	for range 20 {
		code, _ := b.send(t, "POST", path, strings.NewReader(good))
		codes[code]++
	}
	if codes[http.StatusTooManyRequests] == 0 {
		t.Errorf("no limit any more: %v", codes)
	}
}

// What a client has said of the length of its body costs no memory before it
// has sent it.
func TestPromisedBodyTakesNoMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	offered := 0
	req := httptest.NewRequestWithContext(t.Context(), "POST", path, readerFunc(func(p []byte) (int, error) {
		offered = len(p)
		return 0, io.ErrUnexpectedEOF
	}))
	req.ContentLength = 5 << 20
	b.ServeHTTP(httptest.NewRecorder(), req)
	if offered > 8<<10 {
		t.Errorf("%d bytes wait for a body of which nothing came", offered)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Whoever connects and says nothing needs no certificate for that. However many
// do so, they do not keep D1 out.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	for _, limits := range [][2]int{{4, 4}, {10, 4}} { // of all; of one address, which is also D1's behind a balancer
		s := newSite(t, func(_ *notification.Config, sc *notification.ServerConfig, _ *notification.TLSFiles) {
			sc.MaxConnections, sc.MaxPerAddress, sc.HandshakeTimeout = limits[0], limits[1], 10*time.Second
		})
		for range 3 * limits[0] {
			conn, err := net.Dial("tcp", s.Addr().String())
			must(t, err)
			defer func() { _ = conn.Close() }()
		}
		client := s.httpClient(t, true, s.client(t, "D1"))
		tries := time.NewTicker(20 * time.Millisecond)
		defer tries.Stop()
		code := 0
		for limit := time.Now().Add(8 * time.Second); code == 0 && time.Now().Before(limit); <-tries.C {
			code, _ = post(t, client, s.url, good) // an error is a place that could not be made yet
		}
		if code != http.StatusNoContent {
			t.Errorf("while %d connections say nothing, D1 is answered %d", limits[1], code)
		}
	}
}

// News that does not fit is worth a line, but not one for each: a new word of
// D1's comes with every notification of a night.
func TestNewsThatDoesNotFitDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *notification.Config, d *notification.Deps) {
		d.Store = strangeStore{}
		d.Log = d.Log.Level(1) // info, as in production
	})
	for i := range 1000 {
		b.send(t, "POST", path, strings.NewReader(good+strings.Repeat(" ", i)))
		b.send(t, "POST", path, strings.NewReader(fmt.Sprintf(`{"news":%d}`, i)))
	}
	if n := strings.Count(b.log.String(), "\n"); n == 0 || n > 10 {
		t.Errorf("%d lines", n)
	}
}

// A byte order mark is not JSON, strictly, and nothing to lose news for.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if code, _ := b.send(t, "POST", path, strings.NewReader("\ufeff"+good)); code != http.StatusNoContent {
		t.Fatalf("answered %d", code)
	}
	if len(b.store.taken) != 1 || len(b.store.taken[0].Operations) != 1 {
		t.Errorf("taken: %d", len(b.store.taken))
	}
}

type strangeStore struct{}

func (strangeStore) ApplyNotification(_ context.Context, n issuance.Notification) (issuance.Applied, error) {
	return issuance.Applied{Strange: len(n.Operations), Unmatched: len(n.Operations)}, nil
}

// Nobody has a reason to send so many operations at once: reading them would
// take hundreds of times the memory of their body.
func TestTooManyOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	body := `{"operations":[` + strings.Repeat("{},", 1_500_000) + "{}]}"
	if code, _ := b.send(t, "POST", path, strings.NewReader(body)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("answered %d", code)
	}
	if len(b.store.taken) != 0 {
		t.Error("it was stored")
	}
}

// A path that is not quite ours is not ours, whatever the way to write it: no
// redirect that D1 would follow with another method, and that nobody counts.
func TestPathsThatAreNotQuiteOurs(t *testing.T) {
	t.Parallel()
	meter := newTally()
	b := newBench(t, func(_ *notification.Config, d *notification.Deps) { d.Meter = meter })
	paths := []string{
		"/" + path, path + "/", path + "//", strings.Replace(path, "/d1/", "/d1/./", 1), "/x/.." + path,
		strings.Replace(path, issuer, "x/../"+issuer, 1), strings.Replace(path, "/d1/", "/d1%2F", 1), path + "%00", path + ";x",
		strings.Replace(path, issuer, issuer+"%2F"+issuer, 1), strings.Replace(path, issuer, "..%2F"+issuer, 1), strings.ToUpper(path),
	}
	for _, p := range paths {
		if code, _ := b.send(t, "POST", p, strings.NewReader(good)); code != http.StatusNotFound {
			t.Errorf("%s: answered %d", p, code)
		}
	}
	star := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/", nil)
	star.RequestURI, star.URL.Path = "*", "*"
	w := httptest.NewRecorder()
	b.ServeHTTP(w, star)
	if w.Code != http.StatusNotFound {
		t.Errorf("*: answered %d", w.Code)
	}
	got := meter.snapshot()
	if got[string(notification.NotFound)]+got[string(notification.UnknownIssuer)] != len(paths)+1 || len(b.store.taken) > 0 {
		t.Errorf("counted %v, taken %d", got, len(b.store.taken))
	}
}

// A client that fills the memory of bodies by sending large ones slowly has a
// share of it, and the others have the rest.
func TestSlowBodiesOfOneLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *notification.Config, sc *notification.ServerConfig, _ *notification.TLSFiles) {
		c.MaxBody, c.MaxBuffered, sc.ReadTimeout = 10_000, 40_000, 20*time.Second
	})
	for range 6 {
		conn := s.rawDial(t, "http/1.1") // with the certificate of D1
		_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n%s", path, strings.Repeat(" ", 9000))
		must(t, err)
	}
	s.meter.waitFor(t, notification.Busy, 4)
	other := s.httpClient(t, true, s.client(t, "D1 of another bank"))
	if code, err := post(t, other, s.url, good+strings.Repeat(" ", 9000)); code != http.StatusNoContent {
		t.Errorf("another client is answered %d, %v", code, err)
	}
}
