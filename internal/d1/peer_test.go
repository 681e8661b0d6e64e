package d1_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// peer is a D1 that misbehaves below HTTP. It counts the orders that reach it,
// whole or in part.
type peer struct {
	addr string
	seen atomic.Int32

	listener net.Listener
	group    sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

// newPeer listens and gives each connection to serve, which may leave it open.
func newPeer(t *testing.T, serve func(*peer, net.Conn)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{addr: l.Addr().String(), listener: l}
	p.group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, conn)
			p.mu.Unlock()
			p.group.Go(func() { serve(p, conn) })
		}
	})
	t.Cleanup(p.stop)
	return p
}

// stop ends all connections and waits for what serves them. What was on its
// way has arrived then, or never will.
func (p *peer) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
}

// ended returns how often the order has arrived.
func (p *peer) ended() int32 {
	p.stop()
	return p.seen.Load()
}

// reset ends a connection the hard way.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// overTLS shakes hands before it serves. A client that is not let in is told
// so, and the connection is read to its end first: otherwise the system might
// throw what we said away.
func overTLS(cfg *tls.Config, serve func(*peer, *net.TCPConn, net.Conn)) func(*peer, net.Conn) {
	return func(p *peer, raw net.Conn) {
		conn := tls.Server(raw, cfg)
		if conn.Handshake() != nil {
			_ = raw.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, raw)
			_ = raw.Close()
			return
		}
		serve(p, raw.(*net.TCPConn), conn)
	}
}

// http1 reads one order after the other and leaves the answer to act.
func http1(act func(raw *net.TCPConn, conn net.Conn, n int)) func(*peer, *net.TCPConn, net.Conn) {
	return func(p *peer, raw *net.TCPConn, conn net.Conn) {
		in := bufio.NewReader(conn)
		for n := 1; ; n++ {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if body, _ := io.ReadAll(req.Body); len(body) > 0 && req.URL.Path != tokenPath {
				p.seen.Add(1)
			}
			act(raw, conn, n)
		}
	}
}

// http2 reads frames and leaves the answer to act, at the first byte of an
// order.
func http2(act func(raw *net.TCPConn, conn net.Conn, stream uint32)) func(*peer, *net.TCPConn, net.Conn) {
	return func(p *peer, raw *net.TCPConn, conn net.Conn) {
		if _, err := io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		writeFrame(conn, frameSettings, 0, 0)
		begun := map[uint32]bool{}
		for {
			kind, stream, err := readFrame(conn)
			if err != nil {
				return
			}
			if kind == frameData && !begun[stream] {
				begun[stream] = true
				p.seen.Add(1)
				act(raw, conn, stream)
			}
		}
	}
}

const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7

	endStream  = 1
	endHeaders = 4
)

// status202 is the header of an answer, as HPACK writes it without an index.
var status202 = []byte{0x08, 3, '2', '0', '2'}

func uint32s(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	return out
}

func writeFrame(w io.Writer, kind byte, stream uint32, flags byte, payload ...byte) {
	frame := []byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(frame[5:], stream)
	_, _ = w.Write(append(frame, payload...))
}

func readFrame(r io.Reader) (byte, uint32, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
	_, err := io.CopyN(io.Discard, r, size)
	return head[3], binary.BigEndian.Uint32(head[5:]), err
}
