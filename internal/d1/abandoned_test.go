package d1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/retry"
)

// TestAnAbandonedOrderIsNotDelivered: D1's side reads nothing until we have given
// up. What of the order has not left us by then must not arrive later, when D1 was
// asked about it and perhaps sent it again.
func TestAnAbandonedOrderIsNotDelivered(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		gaveUp, read := make(chan struct{}), make(chan bool, 1)
		stalls := func(_ *peer, conn net.Conn) {
			defer conn.Close() //nolint:errcheck // a test
			if _, err := conn.(io.Reader).Read(make([]byte, 1)); err != nil {
				return
			}
			<-gaveUp
			req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader("P"), conn)))
			if err == nil {
				_, err = io.Copy(io.Discard, req.Body)
			}
			read <- err == nil
		}
		ca := newAuthority(t)
		serve, scheme := stalls, "http://"
		if secure {
			scheme = "https://"
			cfg := ca.serverTLS(t)
			cfg.NextProtos = []string{"http/1.1"}
			serve = func(p *peer, raw net.Conn) { stalls(p, tls.Server(raw, cfg)) }
		}
		p := newPeer(t, func(p *peer, raw net.Conn) {
			_ = raw.(*net.TCPConn).SetReadBuffer(4 << 10)
			serve(p, raw)
		})
		token := newFake(t, nil)
		client := token.client(t, func(c *d1.Config) {
			c.BaseURL, c.Timeout = scheme+p.addr+"/banking/v1", 300*time.Millisecond
			if secure {
				c.TLSFiles = clientFiles(t, ca)
			}
		})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		order := call()
		order.Body = []byte(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)
		_, err := client.Order(context.WithoutCancel(t.Context()), order)
		if e := retry.Of(err); e == nil || e.Class != retry.Unknown {
			t.Fatalf("got %v", err)
		}
		close(gaveUp)
		if <-read {
			t.Errorf("over %s the order arrived after it was given up", scheme)
		}
	}
}

// TestSwitchingProtocolsHasADeadline: net/http hands the connection over with
// this status, and no deadline of the call is on it any more.
func TestSwitchingProtocolsHasADeadline(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(_ *peer, conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		}
	})
	token := newFake(t, nil)
	client := token.client(t, func(c *d1.Config) {
		c.BaseURL, c.Timeout = "http://"+p.addr+"/banking/v1", 300*time.Millisecond
	})
	answered := make(chan error, 1)
	go func() { _, err := client.Order(t.Context(), call()); answered <- err }()
	select {
	case err := <-answered:
		if e := retry.Of(err); e == nil || e.Class != retry.Unknown {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("no end of it")
	}
}
