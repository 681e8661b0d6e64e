package sftptest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// handshakeTime is how long a client may take to log in.
const handshakeTime = 30 * time.Second

// serve speaks SSH on one connection until it ends.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	server, channels, requests, err := ssh.NewServerConn(conn, s.ssh)
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	s.wg.Go(func() { s.answerKeepalives(requests) })
	for newChannel := range channels {
		if newChannel.ChannelType() != "session" {
			_ = newChannel.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := newChannel.Accept()
		if err != nil {
			continue
		}
		s.wg.Go(func() { s.session(ctx, conn, channel, requests) })
	}
	_ = server.Close()
}

// answerKeepalives answers with a refusal, as OpenSSH does.
func (s *Server) answerKeepalives(requests <-chan *ssh.Request) {
	for request := range requests {
		if request.Type == "keepalive@openssh.com" {
			s.mu.Lock()
			s.beats++
			s.mu.Unlock()
		}
		if request.WantReply {
			_ = request.Reply(false, nil)
		}
	}
}

// session waits for the request of the sftp subsystem and serves it.
func (s *Server) session(ctx context.Context, conn net.Conn, channel ssh.Channel, requests <-chan *ssh.Request) {
	started := false
	for request := range requests {
		ok := !started && request.Type == "subsystem" && string(request.Payload) == "\x00\x00\x00\x04sftp"
		if request.WantReply {
			_ = request.Reply(ok, nil)
		}
		if !ok {
			continue
		}
		started = true
		files := &files{root: s.root, cfg: s.cfg, fault: func(op, path string) error {
			return s.faults.apply(ctx, conn, op, path)
		}}
		var wire io.ReadWriteCloser = channel
		if s.cfg.NoExtensions {
			wire = &plainVersion{ReadWriteCloser: channel}
		}
		s.wg.Go(func() {
			server := sftp.NewRequestServer(wire, sftp.Handlers{
				FileGet: files, FilePut: files, FileCmd: files, FileList: files,
			})
			_ = server.Serve()
			_ = server.Close()
		})
	}
}

// plainVersion takes the extensions out of the first packet that the server
// sends, which says its version: a list that the library keeps globally.
type plainVersion struct {
	io.ReadWriteCloser
	said bool
}

// Write implements [io.Writer].
func (w *plainVersion) Write(p []byte) (int, error) {
	const plain = 4 + 1 + 4 // length, type, version
	if w.said || len(p) <= plain {
		w.said = true
		return w.ReadWriteCloser.Write(p)
	}
	w.said = true
	short := append([]byte(nil), p[:plain]...)
	binary.BigEndian.PutUint32(short, plain-4)
	if _, err := w.ReadWriteCloser.Write(short); err != nil {
		return 0, err
	}
	return len(p), nil
}
