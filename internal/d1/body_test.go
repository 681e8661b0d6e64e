package d1

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSafeReason: whatever D1 repeats, no long number and nothing unprintable
// gets into an error.
func TestSafeReason(t *testing.T) {
	t.Parallel()
	allowed := regexp.MustCompile(`^[A-Za-z0-9_.\[\] -]{0,80}$`)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.StringMatching(`([0-9][ ./-]?){10,20}`), rapid.StringN(70, 90, -1)))
		got := safeReason(strings.Join(parts.Draw(t, "parts"), ""))
		if !allowed.MatchString(got) || longNumber.MatchString(got) {
			t.Fatalf("kept %q", got)
		}
	})
}

func TestOnceBodyIsReadOnce(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("x"), 100_000)
	b := newOnceBody(content)
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if got, err = io.ReadAll(b); err != nil || len(got) != 0 {
		t.Errorf("read %d bytes again, %v", len(got), err)
	}
	if !b.seal() {
		t.Error("it says that it was not read")
	}
}

func TestOnceBodyIsNotReadAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := newOnceBody([]byte("order"))
	if b.seal() {
		t.Error("it says that it was read")
	}
	if n, err := b.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errSealed) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// TestTransportHasNoSurprises: dead HTTP/2 connections are found, and no proxy
// is taken from the environment.
func TestTransportHasNoSurprises(t *testing.T) {
	t.Parallel()
	tr := newTransport(Config{InFlight: 8}, clientTLS(Config{}, nil))
	if h := tr.HTTP2; h.SendPingTimeout != 15*time.Second || h.PingTimeout != 5*time.Second {
		t.Errorf("a dead HTTP/2 connection is found after %v and %v", h.SendPingTimeout, h.PingTimeout)
	}
	if tr.Proxy != nil || tr.MaxConnsPerHost != 9 || !tr.ForceAttemptHTTP2 {
		t.Error("the transport is not ours")
	}
}
