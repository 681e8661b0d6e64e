// Package sftptest is an SFTP server in this process, on a loopback port,
// serving one directory. Tests and the demo use it in the place of a bank's
// server, and it can be told to misbehave as those do.
//
//	server, err := sftptest.Start(sftptest.Config{
//		Dir:   dir,
//		Users: []sftptest.User{{Name: "cardbatch", Password: "demo"}},
//	})
//	defer server.Close()
//	... connect to server.Addr(), expecting the host key server.Fingerprint()
//
// Like OpenSSH's, its plain rename fails when the target exists. It cannot be
// talked into leaving its directory: everything goes through an [os.Root].
//
// Faults: [Server.Stop] and [Server.Start] take it off the network and bring
// it back on the same port; [Server.KillConnections] cuts what is connected;
// [Server.SetHook] is asked before every operation and answers with an error
// to report or with one of [Lie], [Hang] and [Cut]; [Server.SetDelay] makes it
// slow; [Nasty] gives it the shortcomings of real ones.
package sftptest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Config says what to serve, and to whom.
type Config struct {
	// Dir is the directory served as "/". It must exist.
	Dir string
	// Addr is where to listen; default 127.0.0.1:0, a free port.
	Addr string
	// HostKeys are the server's keys; default one new Ed25519 key.
	HostKeys []ssh.Signer
	// Users may log in. Without any, nobody can.
	Users []User
	// RenameOverwrites makes the plain rename replace its target, as some
	// commercial servers do.
	RenameOverwrites bool
	// MaxRead, when set, is the most bytes one read answers with, as on
	// servers with small packets.
	MaxRead int
	// NoExtensions offers nothing beyond version 3 of the protocol: no
	// posix-rename, no fsync, no hard links.
	NoExtensions bool
	// OneHandle allows each session one open file or directory at a time.
	OneHandle bool
	// FalseSuccess answers success where the protocol wants an error: to
	// renames of what is not there or onto what is, and to removals of what is
	// not there. Nothing is done then. Attributes are taken and forgotten.
	FalseSuccess bool
}

// Nasty makes a configuration that of a server with all the shortcomings that
// a file drop must live with at once. [Server.SetDelay] makes it slow as well.
func Nasty(cfg *Config) {
	cfg.NoExtensions, cfg.OneHandle, cfg.FalseSuccess, cfg.MaxRead = true, true, true, 10_000
}

// User is one account. With a password and keys, either is enough.
type User struct {
	Name     string
	Password string
	Keys     []ssh.PublicKey
}

// Hook is asked before every operation. op is one of list, stat, open,
// create, read, write, close, rename, remove, mkdir, rmdir, setstat; path is
// relative to the directory served. It is called from many goroutines.
type Hook func(op, path string) error

// What a [Hook] can answer besides an error for the client to see.
var (
	// Lie reports success for an operation that is not done.
	Lie = errors.New("lie") //nolint:revive,staticcheck // an instruction, not a failure
	// Hang gives no answer for as long as the connection lives.
	Hang = errors.New("hang") //nolint:revive,staticcheck // an instruction, not a failure
	// Cut closes the connection instead of answering.
	Cut = errors.New("cut") //nolint:revive,staticcheck // an instruction, not a failure
)

// Server is a running server.
type Server struct {
	cfg    Config
	ssh    *ssh.ServerConfig
	root   *os.Root
	faults faults

	mu       sync.Mutex
	addr     string
	listener net.Listener // nil when stopped
	conns    map[net.Conn]context.CancelFunc
	accepted int
	logins   int
	beats    int
	wg       sync.WaitGroup
}

// Start begins serving. The caller must call Close in the end.
func Start(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if len(cfg.HostKeys) == 0 {
		key, err := NewHostKey()
		if err != nil {
			return nil, err
		}
		cfg.HostKeys = []ssh.Signer{key}
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open served directory: %w", err)
	}
	s := &Server{cfg: cfg, root: root, addr: cfg.Addr, conns: map[net.Conn]context.CancelFunc{}}
	s.ssh = s.sshConfig()
	if err := s.Start(); err != nil {
		_ = root.Close()
		return nil, err
	}
	return s, nil
}

// NewHostKey generates an Ed25519 key, for a host or for a user.
func NewHostKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return signer, nil
}

// Addr is where the server listens, host:port.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Fingerprint is that of the first host key, "SHA256:...".
func (s *Server) Fingerprint() string {
	return ssh.FingerprintSHA256(s.cfg.HostKeys[0].PublicKey())
}

// KnownHosts is the content of a known_hosts file with all host keys.
func (s *Server) KnownHosts() string {
	var lines string
	for _, key := range s.cfg.HostKeys {
		lines += knownhosts.Line([]string{s.Addr()}, key.PublicKey()) + "\n"
	}
	return lines
}

// Connections is how many connections were accepted so far.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Logins is how many passwords and keys were presented so far, right and
// wrong.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Keepalives is how many signs of life were asked for so far.
func (s *Server) Keepalives() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beats
}

// SetHook replaces the hook; nil removes it.
func (s *Server) SetHook(hook Hook) { s.faults.setHook(hook) }

// SetDelay makes every operation wait before it is done.
func (s *Server) SetDelay(delay time.Duration) { s.faults.setDelay(delay) }

// Start serves again after Stop, on the same port.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.New("start SFTP server: it is running")
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("start SFTP server: %w", err)
	}
	s.listener, s.addr = listener, listener.Addr().String()
	s.wg.Go(func() { s.accept(listener) })
	return nil
}

// Stop stops listening, cuts every connection and waits until all is quiet.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	s.mu.Unlock()
	s.KillConnections()
	s.wg.Wait()
}

// KillConnections cuts every connection; new ones are welcome.
func (s *Server) KillConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, cancel := range s.conns {
		cancel()
		_ = conn.Close()
	}
}

// Close stops the server for good.
func (s *Server) Close() error {
	s.Stop()
	return s.root.Close()
}

func (s *Server) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // stopped
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.mu.Lock()
		if s.listener != listener {
			s.mu.Unlock()
			cancel()
			_ = conn.Close()
			return
		}
		s.accepted++
		s.conns[conn] = cancel
		s.wg.Go(func() {
			s.serve(ctx, conn)
			cancel()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
		s.mu.Unlock()
	}
}

func (s *Server) sshConfig() *ssh.ServerConfig {
	cfg := &ssh.ServerConfig{PasswordCallback: s.password, PublicKeyCallback: s.publicKey}
	for _, key := range s.cfg.HostKeys {
		cfg.AddHostKey(key)
	}
	return cfg
}

var errLogin = errors.New("no such user, password or key")

func (s *Server) countLogin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
}

func (s *Server) password(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	s.countLogin()
	for _, u := range s.cfg.Users {
		if u.Name == meta.User() && u.Password != "" && subtle.ConstantTimeCompare([]byte(u.Password), password) == 1 {
			return &ssh.Permissions{}, nil
		}
	}
	return nil, errLogin
}

func (s *Server) publicKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	s.countLogin()
	for _, u := range s.cfg.Users {
		if u.Name == meta.User() && slices.ContainsFunc(u.Keys, func(k ssh.PublicKey) bool {
			return slices.Equal(k.Marshal(), key.Marshal())
		}) {
			return &ssh.Permissions{}, nil
		}
	}
	return nil, errLogin
}
