package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"cardbatch/internal/drop"
)

// maxPacket is what every server takes; larger packets cut the connection on
// some.
const maxPacket = 32 << 10

// dial connects, recognises the host, logs in and starts the file service.
// Every failure but that of ctx is an ErrUnavailable.
func (d *Drop) dial(ctx context.Context) (*conn, error) {
	c, err := d.dialKnown(ctx)
	if err == nil {
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		err = fmt.Errorf("user %s is refused: check the user, its key and its password with the owner of the server: %w",
			d.cfg.User, err)
	}
	return nil, fmt.Errorf("%w: %w", drop.ErrUnavailable, err)
}

// dialKnown connects until the host shows a key that is known, or has none
// left to show.
func (d *Drop) dialKnown(ctx context.Context) (*conn, error) {
	if d.cfg.KnownHosts != "" {
		check, err := fromKnownHosts(d.cfg.KnownHosts, d.cfg.Address)
		if err != nil {
			return nil, err
		}
		return d.dialOnce(ctx, check)
	}
	var shown []ssh.PublicKey
	var refused *HostKeyError
	for {
		check := checker{algorithms: d.keyAlgorithms(shown), callback: pinned(d.cfg.HostKeys, &shown)}
		if len(check.algorithms) == 0 {
			return nil, refused
		}
		c, err := d.dialOnce(ctx, check)
		if err == nil {
			d.keyType.Store(shown[len(shown)-1].Type())
			return c, nil
		}
		if noMore := new(ssh.AlgorithmNegotiationError); refused != nil && errors.As(err, &noMore) {
			return nil, refused
		}
		if !errors.As(err, &refused) {
			return nil, err
		}
	}
}

// keyAlgorithms offers the type of key that was right the last time first,
// and no type that was shown and wrong.
func (d *Drop) keyAlgorithms(shown []ssh.PublicKey) []string {
	last, _ := d.keyType.Load().(string)
	wrong := func(keyType string) bool {
		return slices.ContainsFunc(shown, func(key ssh.PublicKey) bool { return key.Type() == keyType })
	}
	first := algorithmsFor(func(keyType string) bool { return keyType == last && !wrong(keyType) })
	return append(first, algorithmsFor(func(keyType string) bool { return keyType != last && !wrong(keyType) })...)
}

// dialOnce makes one connection. Until it is complete, one deadline and ctx
// can close it.
func (d *Drop) dialOnce(ctx context.Context, check checker) (_ *conn, err error) {
	start := time.Now()
	raw, err := (&net.Dialer{Timeout: d.cfg.DialTimeout}).DialContext(ctx, "tcp", d.cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	nc := &rollingConn{Conn: raw, idle: d.cfg.IdleTimeout}
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			_ = raw.Close()
		}
	}()
	if err := raw.SetDeadline(start.Add(d.cfg.DialTimeout)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	sshConn, channels, requests, err := ssh.NewClientConn(nc, d.cfg.Address, &ssh.ClientConfig{
		User:              d.cfg.User,
		Auth:              d.auth,
		HostKeyCallback:   check.callback,
		HostKeyAlgorithms: check.algorithms,
		ClientVersion:     "SSH-2.0-cardbatch",
	})
	if err != nil {
		return nil, d.loginError(nc, err)
	}
	c := &conn{net: nc, ssh: ssh.NewClient(sshConn, channels, requests), ended: make(chan struct{})}
	c.watchdog.init(d.cfg.IdleTimeout, c.kill)
	if err := c.startService(); err != nil {
		c.close()
		return nil, d.loginError(nc, err)
	}
	if err := nc.startRolling(); err != nil {
		c.close()
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	return c, nil
}

// loginError says what a closed connection meant.
func (d *Drop) loginError(nc *rollingConn, err error) error {
	if nc.timedOut() {
		return fmt.Errorf("log in: no answer within %s", d.cfg.DialTimeout)
	}
	return fmt.Errorf("log in: %w", err)
}

// startService starts the SFTP subsystem. The channel is opened by hand, and
// not by the library, to watch its bytes and to drain its standard error,
// which would otherwise fill the channel's window.
func (c *conn) startService() error {
	channel, requests, err := c.ssh.OpenChannel("session", nil)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(io.Discard, channel.Stderr()) }()
	ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	if err == nil && !ok {
		err = errors.New("the server offers no SFTP to this user")
	}
	if err != nil {
		return fmt.Errorf("start SFTP: %w", err)
	}
	client, err := pkgsftp.NewClientPipe(&watchedReader{channel, &c.watchdog}, channel,
		pkgsftp.MaxPacketChecked(maxPacket),
		pkgsftp.UseConcurrentReads(true),
		pkgsftp.UseConcurrentWrites(false))
	if err != nil {
		return fmt.Errorf("start SFTP: %w", err)
	}
	c.sftp = client
	return nil
}
