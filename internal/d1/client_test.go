package d1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

func TestOrderIsSentAsD1WantsIt(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got := []string{
			r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Content-Type"),
			r.Header.Get("X-Correlation-Id"), r.Header.Get("Idempotency-Key"), string(body), fmt.Sprint(r.ContentLength),
		}
		want := []string{
			"POST", "/banking/v1/issuers/is_test001/physicalCards/card-1/operations:production", "Bearer token-1",
			"application/json", "corr-1", "", `{"issuerRequestId":"ord-1"}`, "27",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		says(http.StatusAccepted, `{"operationId":"op-1","new":{"member":[1]}}`)(w, r)
	})
	id, err := f.client(t).Order(t.Context(), call())
	if err != nil || id != "op-1" {
		t.Errorf("got %q, %v", id, err)
	}
}

// TestOrderAnswers is the table of what an answer means for an order.
func TestOrderAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		id     string // accepted
		class  retry.Class
		code   string // else failed
		reason string
	}{
		{name: "202", status: 202, body: `{"operationId":"op-1"}`, id: "op-1"},
		{name: "202, id as a number", status: 202, body: `{"operationId":17}`, id: "17"},
		{name: "202, id that is none", status: 202, body: `{"operationId":"<op 1>"}`},
		{name: "202, no id", status: 202, body: `{}`},
		{name: "202, empty", status: 202, body: ``, class: retry.Unknown, code: "ANSWER_UNCLEAR"},
		{name: "202, cut off", status: 202, body: `{"operationId":"op`, class: retry.Unknown, code: "ANSWER_UNCLEAR"},
		{name: "202, a list", status: 202, body: `[]`, class: retry.Unknown, code: "ANSWER_UNCLEAR"},
		{name: "202, null", status: 202, body: `null`, class: retry.Unknown, code: "ANSWER_UNCLEAR"},
		{name: "200 with id", status: 200, body: `{"operationId":"op-1"}`, id: "op-1"},
		{name: "200 without id", status: 200, body: `{}`, class: retry.Unknown, code: "ANSWER_UNCLEAR"},
		{name: "200, a page", status: 200, body: `<html>`, class: retry.Unknown, code: "ANSWER_UNCLEAR"},
		{name: "204", status: 204, class: retry.Unknown, code: "ANSWER_UNCLEAR"},
		{name: "400, field", status: 400, body: `{"errorCode":"FIELD_INVALID_VALUE","error":"shipment.deliveryAddress[0].countryCode"}`,
			class: retry.Refused, code: "FIELD_INVALID_VALUE", reason: "shipment.deliveryAddress[0].countryCode"},
		{name: "400, nothing said", status: 400, class: retry.Refused, code: "HTTP_400"},
		{name: "400, a page", status: 400, body: "<html>", class: retry.Refused, code: "HTTP_400"},
		{name: "400, odd types", status: 400, body: `{"errorCode":{"a":1},"error":[2]}`, class: retry.Refused, code: "HTTP_400"},
		{name: "400, repeats a PAN", status: 400, body: `{"errorCode":"4111111111111111","error":"pan 4111-1111 1111.1111 bad"}`,
			class: retry.Refused, code: "HTTP_400", reason: "pan [number] bad"},
		{name: "400, a PAN apart", status: 400, body: `{"errorCode":"X","error":"4/1/1/1/1/1/1/1/1/1/1/1/1/1/1/1"}`,
			class: retry.Refused, code: "X", reason: "[number]"},
		{name: "400, long", status: 400, body: `{"errorCode":"X","error":"` + strings.Repeat("field ", 50) + `"}`,
			class: retry.Refused, code: "X", reason: strings.Repeat("field ", 13) + "fi"},
		{name: "403", status: 403, body: `{"errorCode":"FORBIDDEN_OPERATION"}`, class: retry.Refused, code: "FORBIDDEN_OPERATION"},
		{name: "404", status: 404, class: retry.Refused, code: "HTTP_404"},
		{name: "409, duplicate", status: 409, body: `{"errorCode":"DUPLICATE_REQUEST"}`, class: retry.Unknown, code: "DUPLICATE_REQUEST"},
		{name: "403, duplicate", status: 403, body: `{"errorCode":"DUPLICATE_REQUEST"}`, class: retry.Unknown, code: "DUPLICATE_REQUEST"},
		{name: "409", status: 409, body: `{"errorCode":"CONFLICT"}`, class: retry.Refused, code: "CONFLICT"},
		{name: "429", status: 429, class: retry.NotDone, code: "HTTP_429"},
		{name: "307", status: 307, class: retry.Stop, code: "HTTP_307"},
		{name: "303", status: 303, class: retry.Unknown, code: "HTTP_303"},
		{name: "500", status: 500, body: `{"errorCode":"INTERNAL"}`, class: retry.Unknown, code: "INTERNAL"},
		{name: "503", status: 503, class: retry.Unknown, code: "HTTP_503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				says(c.status, c.body)(w, r)
			})
			id, err := f.client(t).Order(t.Context(), call())
			if id != c.id {
				t.Errorf("operation id %q, want %q", id, c.id)
			}
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := retry.Of(err)
			if e == nil {
				t.Fatal("accepted")
			}
			if e.Class != c.class || e.Code != c.code || e.Reason != c.reason || e.Status != c.status {
				t.Errorf("%v %d %q %q", e.Class, e.Status, e.Code, e.Reason)
			}
			if n := f.orders.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestOrderEveryStatus drives the whole table of statuses through the client:
// what it says agrees with the policy, and nothing but 401 is sent twice.
func TestOrderEveryStatus(t *testing.T) {
	t.Parallel()
	var status int
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) { says(status, "")(w, r) })
	client := f.client(t)
	for status = 200; status <= 599; status++ {
		f.orders.Store(0)
		_, err := client.Order(t.Context(), call())
		want, _ := retry.Policy{}.Status(status)
		if e := retry.Of(err); e == nil || e.Class != want || e.Status != status {
			t.Errorf("status %d gives %v", status, err)
		}
		times := int32(1)
		if status == http.StatusUnauthorized {
			times = 2
		}
		if n := f.orders.Load(); n != times {
			t.Errorf("status %d: %d requests", status, n)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "1": time.Second, " 2 ": 2 * time.Second, "0.5": 500 * time.Millisecond, "-1": 0, "soon": 0,
		"999999999999": time.Hour, "NaN": 0,
		"Sun, 01 Mar 2026 22:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 21:00:00 GMT": 0,
	} {
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil // it is another day there
			w.Header().Set("Retry-After", header)
			says(http.StatusTooManyRequests, "")(w, r)
		})
		_, err := f.client(t, func(c *d1.Config) { c.Now = func() time.Time { return now } }).Order(t.Context(), call())
		if e := retry.Of(err); e.Class != retry.NotDone || e.After != want {
			t.Errorf("Retry-After %q: %v, wait %v, want %v", header, e.Class, e.After, want)
		}
	}
}

// A date is D1's word by D1's clock; ours may differ.
func TestRetryAfterByD1sClock(t *testing.T) {
	t.Parallel()
	for ours, date := range map[string]string{"fast": "Sun, 01 Mar 2026 21:50:00 GMT", "slow": "Sun, 01 Mar 2026 22:10:00 GMT", "no date": ""} {
		now := time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)
		from := now
		if date != "" {
			from, _ = http.ParseTime(date)
		}
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil
			if date != "" {
				w.Header().Set("Date", date)
			}
			w.Header().Set("Retry-After", from.Add(30*time.Second).Format(http.TimeFormat))
			says(http.StatusTooManyRequests, "")(w, r)
		})
		_, err := f.client(t, func(c *d1.Config) { c.Now = func() time.Time { return now } }).Order(t.Context(), call())
		if e := retry.Of(err); e.After != 30*time.Second {
			t.Errorf("our clock is %s: wait %v", ours, e.After)
		}
	}
}

func TestBusy503Policy(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusServiceUnavailable, ""))
	client := f.client(t, func(c *d1.Config) { c.Policy.Busy503 = true })
	_, err := client.Order(t.Context(), call())
	if e := retry.Of(err); e.Class != retry.NotDone || !e.Unavailable {
		t.Errorf("%v, unavailable %v", e.Class, e.Unavailable)
	}
}

func TestOrderIsNotSentWithABadCardID(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusAccepted, `{}`))
	for _, id := range []string{"", "a/b", "..", "é", strings.Repeat("x", 49)} {
		c := call()
		c.CardID = id
		_, err := f.client(t).Order(t.Context(), c)
		if e := retry.Of(err); e == nil || e.Class != retry.Refused || e.Code != "CARD_ID_INVALID" {
			t.Errorf("%q: %v", id, err)
		}
		if _, err = f.client(t).ProductionStatus(t.Context(), id, ""); err == nil {
			t.Errorf("%q: asked for its status", id)
		}
	}
	if f.orders.Load() != 0 {
		t.Error("something was sent")
	}
}

func TestOrderLeavesABadCorrelationIDOut(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := r.Header["X-Correlation-Id"]; ok {
			t.Error("it was sent")
		}
		says(http.StatusAccepted, `{}`)(w, r)
	})
	c := call()
	c.CorrelationID = "no good"
	if _, err := f.client(t).Order(t.Context(), c); err != nil {
		t.Error(err)
	}
}

func TestProductionStatus(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.Method+" "+r.URL.Path, "GET /banking/v1/issuers/is_test001/physicalCards/card-1/productionStatus"; got != want {
			t.Errorf("got %s", got)
		}
		if r.Header.Get("X-Correlation-Id") != "corr-1" || r.Header.Get("Content-Type") != "" {
			t.Errorf("headers %v", r.Header)
		}
		says(http.StatusOK, `{"operations":[{"operationId":"op-1","cardId":"card-1"}]}`)(w, r)
	})
	got, err := f.client(t).ProductionStatus(t.Context(), "card-1", "corr-1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]issuance.Operation{{OperationID: "op-1", CardID: "card-1"}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestProductionStatusOfAnUnknownCard: only D1's own word means that it does
// not have the order, because the order is sent again on the strength of it.
func TestProductionStatusOfAnUnknownCard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		known  bool // whether something was learnt
	}{
		{404, `{"errorCode":"CARD_NOT_FOUND"}`, true},
		{200, `{"operations":[]}`, true},
		{404, `{"errorCode":"NO_SUCH_ROUTE"}`, false},
		{404, `<html>`, false},
		{404, ``, false},
		{400, `{"errorCode":"CARD_NOT_FOUND"}`, false},
		{200, `{}`, false},
		{200, ``, false},
		{204, ``, false},
		{202, `{"operations":[]}`, false},
		{500, `{"errorCode":"CARD_NOT_FOUND"}`, false},
	} {
		f := newFake(t, says(c.status, c.body))
		got, err := f.client(t).ProductionStatus(t.Context(), "card-1", "")
		if len(got) != 0 || (err == nil) != c.known {
			t.Errorf("%d %s: %v, %v", c.status, c.body, got, err)
		}
		if err != nil && retry.Of(err).Code == "UNCLASSIFIED" {
			t.Errorf("%d %s: not classified: %v", c.status, c.body, err)
		}
	}
}

func TestUnknownCardCodesAreASetting(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusNotFound, `{"errorCode":"NO_CARD"}`))
	client := f.client(t, func(c *d1.Config) { c.UnknownCard = []string{"NO_CARD"} })
	if got, err := client.ProductionStatus(t.Context(), "card-1", ""); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestErrorsHoldNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		says(http.StatusBadRequest, string(body)+r.Header.Get("Authorization"))(w, r)
	})
	c := call()
	c.Body = []byte(`{"error":"` + testPAN + `","errorCode":"` + testPAN + `","line1":"1 Example Street"}`)
	_, err := f.client(t).Order(t.Context(), c)
	shown := fmt.Sprintf("%v %+v %#v", err, err, retry.Of(err))
	for _, private := range []string{testPAN, "Example Street", "token-1"} {
		if strings.Contains(shown, private) {
			t.Error("the error repeats the request")
		}
	}
}

func TestOrderWhenNobodyListens(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusAccepted, `{}`))
	client := f.client(t)
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.server.Close()
	client.Close() // a connection found closed while it is written to would be Unknown
	_, err := client.Order(t.Context(), call())
	if e := retry.Of(err); e.Class != retry.NotDone || !e.Unavailable || e.Code != retry.CodeTransport {
		t.Errorf("%v, unavailable %v: %v", e.Class, e.Unavailable, err)
	}
}

func TestOrderToANameThatDoesNotExist(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusAccepted, `{}`))
	client := f.client(t, func(c *d1.Config) { c.BaseURL = "https://d1.invalid/banking/v1" })
	_, err := client.Order(t.Context(), call())
	if e := retry.Of(err); e.Class != retry.NotDone || !e.Unavailable {
		t.Errorf("%v: %v", e.Class, err)
	}
}

func TestOrderGivenUpWhileWaiting(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	f := newFake(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := f.client(t).Order(ctx, call())
	if e := retry.Of(err); e.Class != retry.Unknown || e.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("%v: %v", e.Class, err)
	}
	_, err = f.client(t, func(c *d1.Config) { c.Timeout = 50 * time.Millisecond }).Order(t.Context(), call())
	if e := retry.Of(err); e.Class != retry.Unknown || !e.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, unavailable %v: %v", e.Class, e.Unavailable, err)
	}
	// The caller's own deadline says nothing about D1.
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = f.client(t).Order(ctx, call())
	if e := retry.Of(err); e.Class == retry.Refused || e.Class == retry.Stop || e.Unavailable {
		t.Errorf("%v, unavailable %v: %v", e.Class, e.Unavailable, err)
	}
}

func TestOrderGivenUpBeforeItStarts(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusAccepted, `{}`))
	client := f.client(t)
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.Order(ctx, call())
	if e := retry.Of(err); e.Class != retry.NotDone || e.Unavailable {
		t.Errorf("%v: %v", e.Class, err)
	}
	if f.orders.Load() != 0 {
		t.Error("it was sent")
	}
}

// TestOrderWhenThePeerIsNoD1: the other side takes the bytes and says nothing
// that makes sense.
func TestOrderWhenThePeerIsNoD1(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"closes":            "",
		"is not HTTP":       "SSH-2.0-OpenSSH_9.2\r\n",
		"stops in a header": "HTTP/1.1 202 Accepted\r\nContent-",
		"stops in the body": "HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{\"operationId\":\"op-1\"",
		"switches":          "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
	} {
		var orders int
		addr := rawServer(t, func(conn net.Conn) {
			buf := make([]byte, 64<<10)
			if n, _ := conn.Read(buf); n > 0 {
				orders++
			}
			_, _ = io.WriteString(conn, answer)
		})
		f := newFake(t, nil)
		client := f.client(t, func(c *d1.Config) { c.BaseURL = "http://" + addr })
		_, err := client.Order(t.Context(), call())
		if e := retry.Of(err); e == nil || e.Class != retry.Unknown {
			t.Errorf("%s: %v", name, err)
		}
		if orders != 1 {
			t.Errorf("%s: %d requests", name, orders)
		}
	}
}

// rawServer serves each connection with one call, one after the other.
func rawServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := d1.Config{
		IssuerID: testIssuer, BaseURL: "https://d1.invalid/banking/v1", TokenURL: "https://d1.invalid/token",
		Token: d1.Token{KeyID: "jwt-1", Key: newKey(t)},
	}
	if _, err := d1.New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*d1.Config){
		"no issuer":         func(c *d1.Config) { c.IssuerID = "" },
		"no base URL":       func(c *d1.Config) { c.BaseURL = "" },
		"relative URL":      func(c *d1.Config) { c.BaseURL = "/banking/v1" },
		"plain http":        func(c *d1.Config) { c.BaseURL = "http://api.d1.example/banking/v1" },
		"plain token http":  func(c *d1.Config) { c.TokenURL = "http://api.d1.example/token" },
		"another scheme":    func(c *d1.Config) { c.BaseURL = "ftp://d1.invalid/" },
		"a query":           func(c *d1.Config) { c.BaseURL = "https://d1.invalid/?a=b" },
		"a password":        func(c *d1.Config) { c.BaseURL = "https://u:hunter2@d1.invalid/" },
		"a control char":    func(c *d1.Config) { c.TokenURL = "https://d1.invalid/\n" },
		"no token key":      func(c *d1.Config) { c.Token.Key = nil },
		"no token key id":   func(c *d1.Config) { c.Token.KeyID = "" },
		"a long assertion":  func(c *d1.Config) { c.Token.Lifetime = 16 * time.Minute },
		"key of some curve": func(c *d1.Config) { c.Token.Key = p384(t) },
	} {
		cfg := good
		spoil(&cfg)
		_, err := d1.New(cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password", name)
		}
	}
}
