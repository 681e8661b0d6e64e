package notification_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
)

const (
	issuer = "is_test_01"
	path   = "/notifications/d1/v2/issuers/" + issuer + "/cards"
	good   = `{"operations":[{"operationId":"op-1","operation":"PRODUCE","status":"PENDING","startTime":"2026-03-01T08:00:00Z",
		"cardId":"card-1","issuerRequestId":"ord-1","details":{"status":"DATA_PREPARED"},"message":"Dear Jane Example"}]}`
)

// fakeStore remembers what it took.
type fakeStore struct {
	mu    sync.Mutex
	taken []issuance.Notification
	err   error
	block chan struct{} // when set, a notification waits for a receive
	here  chan struct{} // when set, told when a notification is in the store
	panic any
}

func (s *fakeStore) ApplyNotification(ctx context.Context, n issuance.Notification) (issuance.Applied, error) {
	if s.here != nil {
		s.here <- struct{}{}
	}
	if s.block != nil {
		select {
		case <-s.block:
		case <-ctx.Done():
			return issuance.Applied{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panic != nil {
		panic(s.panic)
	}
	if s.err != nil {
		return issuance.Applied{}, s.err
	}
	for _, old := range s.taken {
		if bytes.Equal(old.Digest, n.Digest) {
			return issuance.Applied{Repeated: true}, nil
		}
	}
	s.taken = append(s.taken, n)
	return issuance.Applied{Matched: len(n.Operations)}, nil
}

// fakeSealer marks what it was given instead of sealing it.
type fakeSealer struct{ err error }

func (f fakeSealer) Seal(plain, aad []byte) ([]byte, error) {
	return slices.Concat([]byte("sealed:"), aad, []byte{':'}, plain), f.err
}

func digest(parts ...string) []byte {
	m := hmac.New(sha256.New, []byte("key of the test"))
	for _, p := range parts {
		_, _ = fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return m.Sum(nil)
}

type bench struct {
	*notification.Receiver
	store *fakeStore
	log   bytes.Buffer
}

func newBench(tb testing.TB, change func(*notification.Config, *notification.Deps)) *bench {
	tb.Helper()
	b := &bench{store: &fakeStore{}}
	cfg := notification.Config{Issuers: []string{issuer, "is_test_02"}}
	deps := notification.Deps{Store: b.store, Parse: d1.ParseOperations, Sealer: fakeSealer{}, Digest: digest,
		Now: func() time.Time { return time.Now().UTC() }, Log: zerolog.New(zerolog.SyncWriter(&b.log))}
	if change != nil {
		change(&cfg, &deps)
	}
	r, err := notification.New(cfg, deps)
	if err != nil {
		tb.Fatal(err)
	}
	b.Receiver = r
	return b
}

// send returns the status of the answer, and its Retry-After.
func (b *bench) send(tb testing.TB, method, path string, body io.Reader) (int, string) {
	tb.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), method, path, body))
	return w.Code, w.Header().Get("Retry-After")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method string
		path   string
		body   io.Reader
		change func(*notification.Config, *notification.Deps)
		want   int
		taken  int
	}{
		"good":               {"POST", path, strings.NewReader(good), nil, 204, 1},
		"other issuer of us": {"POST", strings.Replace(path, "01", "02", 1), strings.NewReader(good), nil, 204, 1},
		"nothing in it":      {"POST", path, strings.NewReader(`{"operations":[]}`), nil, 204, 1},
		"things we do not know": {"POST", path, strings.NewReader(`{"x":1,"operations":[{"operation":"NEW","status":"ODD","details":{"status":"LATER","y":[]}}]}`),
			nil, 204, 1},
		"somebody else's":     {"POST", strings.Replace(path, "01", "99", 1), strings.NewReader(good), nil, 404, 0},
		"another path":        {"POST", "/notifications/d1/v1/issuers/" + issuer + "/cards/c/notifications", strings.NewReader(good), nil, 404, 0},
		"another method":      {"GET", path, nil, nil, 405, 0},
		"empty":               {"POST", path, strings.NewReader(""), nil, 400, 0},
		"not JSON":            {"POST", path, strings.NewReader("<operations/>"), nil, 400, 0},
		"JSON of other shape": {"POST", path, strings.NewReader(`[1,2]`), nil, 204, 1},
		"no operations":       {"POST", path, strings.NewReader(`{"operation":"DIGITIZE"}`), nil, 204, 1},
		"cut off":             {"POST", path, io.MultiReader(strings.NewReader(good[:40]), brokenReader{}), nil, 408, 0},
		"just not too large": {"POST", path, strings.NewReader(good),
			func(c *notification.Config, _ *notification.Deps) { c.MaxBody = int64(len(good)) }, 204, 1},
		"too large": {"POST", path, strings.NewReader(good),
			func(c *notification.Config, _ *notification.Deps) { c.MaxBody = int64(len(good)) - 1 }, 413, 0},
		"too large, length unknown": {"POST", path, io.MultiReader(strings.NewReader(good)),
			func(c *notification.Config, _ *notification.Deps) { c.MaxBody = 10 }, 413, 0},
		"store down": {"POST", path, strings.NewReader(good),
			func(_ *notification.Config, d *notification.Deps) { d.Store.(*fakeStore).err = errors.New("disk full") }, 503, 0},
		"store panics": {"POST", path, strings.NewReader(good),
			func(_ *notification.Config, d *notification.Deps) { d.Store.(*fakeStore).panic = "Jane Example" }, 503, 0},
		"cannot be sealed": {"POST", path, strings.NewReader(good),
			func(_ *notification.Config, d *notification.Deps) { d.Sealer = fakeSealer{errors.New("no key")} }, 503, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.change)
			code, retryAfter := b.send(t, tt.method, tt.path, tt.body)
			if code != tt.want {
				t.Errorf("answered %d, want %d", code, tt.want)
			}
			if (retryAfter != "") != (tt.want == 503) {
				t.Errorf("Retry-After %q with %d", retryAfter, code)
			}
			if len(b.store.taken) != tt.taken {
				t.Errorf("%d notifications were stored, want %d", len(b.store.taken), tt.taken)
			}
			if strings.Contains(b.log.String(), "Jane") || strings.Contains(b.log.String(), "card-1") {
				t.Error("the log holds something of the body")
			}
		})
	}
}

// What is stored is the body as received, sealed in its place, and what it says.
func TestStored(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.send(t, "POST", path, strings.NewReader(good))
	n := b.store.taken[0]
	want := []issuance.Operation{{OperationID: "op-1", Operation: "PRODUCE", Status: "PENDING", CardID: "card-1",
		IssuerRequestID: "ord-1", StartTime: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), Production: issuance.DataPrepared}}
	if diff := cmp.Diff(want, n.Operations); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	sealed, _ := fakeSealer{}.Seal([]byte(good), notification.AdditionalData(issuer, n.Digest))
	if n.IssuerID != issuer || !bytes.Equal(n.Body, sealed) || n.ReceivedAt.IsZero() {
		t.Errorf("issuer %q, received %s", n.IssuerID, n.ReceivedAt)
	}
}

// The same body of another issuer is another notification.
func TestDigest(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, send := range []struct {
		path, body string
		stored     int
	}{
		{path, good, 1},
		{path, good, 1},
		{path, good + " ", 2},
		{strings.Replace(path, "01", "02", 1), good, 3},
	} {
		if code, _ := b.send(t, "POST", send.path, strings.NewReader(send.body)); code != 204 {
			t.Errorf("answered %d", code)
		}
		if len(b.store.taken) != send.stored {
			t.Errorf("%d stored, want %d", len(b.store.taken), send.stored)
		}
	}
}

// A caller that hangs up does not undo what is under way.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store.block = make(chan struct{})
	ctx, hangUp := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(good)))
		done <- w.Code
	}()
	b.store.block <- struct{}{}
	hangUp()
	if code := <-done; code != 204 || len(b.store.taken) != 1 {
		t.Errorf("answered %d with %d stored", code, len(b.store.taken))
	}
}

// Only so many are handled at a time; the others wait, but not for ever.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *notification.Config, _ *notification.Deps) { c.MaxInFlight, c.Timeout = 2, 5*time.Second })
		b.store.block = make(chan struct{})
		codes := make(chan int, 4)
		send := func(i int) {
			go func() {
				code, _ := b.send(t, "POST", path, strings.NewReader(good+strings.Repeat(" ", i)))
				codes <- code
			}()
			synctest.Wait()
		}
		send(1)
		send(2)
		<-time.After(time.Second)
		send(3) // waits for a place
		b.store.block <- struct{}{}
		if code := <-codes; code != 204 {
			t.Errorf("the first was answered %d", code)
		}
		send(4) // waits for a place until the store gives up on the second
		start := time.Now()
		if code := <-codes; code != 503 || time.Since(start) != 4*time.Second {
			t.Errorf("answered %d after %s", code, time.Since(start))
		}
		b.store.block <- struct{}{}
		b.store.block <- struct{}{}
		if a, b := <-codes, <-codes; a != 204 || b != 204 {
			t.Errorf("answered %d and %d", a, b)
		}
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*notification.Config, *notification.Deps){
		"no issuers":     func(c *notification.Config, _ *notification.Deps) { c.Issuers = nil },
		"an empty one":   func(c *notification.Config, _ *notification.Deps) { c.Issuers = []string{""} },
		"no store":       func(_ *notification.Config, d *notification.Deps) { d.Store = nil },
		"no sealer":      func(_ *notification.Config, d *notification.Deps) { d.Sealer = nil },
		"negative limit": func(c *notification.Config, _ *notification.Deps) { c.MaxBody = -1 },
	} {
		cfg := notification.Config{Issuers: []string{issuer}}
		deps := notification.Deps{Store: &fakeStore{}, Parse: d1.ParseOperations, Sealer: fakeSealer{}, Digest: digest, Now: time.Now}
		change(&cfg, &deps)
		if _, err := notification.New(cfg, deps); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever arrives is answered as documented, without a panic, and nothing but
// JSON is stored.
func FuzzReceive(f *testing.F) {
	for _, seed := range []string{good, "", "{}", `{"operations":null}`, `{"operations":[null,1,{"details":[]}]}`} {
		f.Add([]byte(seed))
	}
	b := newBench(f, func(_ *notification.Config, d *notification.Deps) { d.Log = zerolog.Nop() })
	f.Fuzz(func(t *testing.T, body []byte) {
		b.store.taken = nil
		code, _ := b.send(t, "POST", path, bytes.NewReader(body))
		valid := json.Valid(body)
		if want := map[bool]int{true: 204, false: 400}[valid]; code != want {
			t.Errorf("answered %d, want %d", code, want)
		}
		if (len(b.store.taken) == 1) != valid {
			t.Errorf("%d stored", len(b.store.taken))
		}
	})
}

// What was taken is counted by what became of it.
func TestCounted(t *testing.T) {
	t.Parallel()
	meter := newTally()
	at := time.Date(2026, 3, 1, 8, 0, 30, 0, time.UTC)
	b := newBench(t, func(_ *notification.Config, d *notification.Deps) {
		d.Meter, d.Now = meter, func() time.Time { return at }
	})
	b.send(t, "POST", path, strings.NewReader(good))
	if meter.lag != 30*time.Second {
		t.Errorf("it came %s late", meter.lag)
	}
	b.send(t, "POST", path, strings.NewReader(good))
	b.send(t, "POST", path, strings.NewReader(`[]`))
	want := map[string]int{issuer + "/taken": 1, issuer + "/repeated": 1, issuer + "/unread": 1}
	if diff := cmp.Diff(want, meter.taken); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{issuer + "/unchanged": 1}, meter.ops); diff != "" {
		t.Error(diff)
	}
	if meter.lag >= 0 {
		t.Errorf("something without operations came %s late", meter.lag)
	}
}
