package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
)

const long = `A simulated Thales D1 with a personalization center behind it.

It verifies tokens (JWT bearer, ES256) and opens encryptedData (ECDH-ES,
A256GCM) as D1 does, checks every field of an order, makes the card on a
clock of its own and notifies the issuer. Nothing is stored: a restart
forgets every order. No PAN is kept in any form that outlives the process.

With "tls: server" or "mutual" it speaks HTTP/2, and whether a client must show
its certificate can be switched while it runs.

On the first start --dir is filled with certificates and keys. Give these to
the issuer's software:

  ca.pem                  authority of D1's server certificate
  issuer.pem, .key.pem    client certificate for mutual TLS
  issuer-token.key.pem    private key for assertions, kid sim-jwt-1
  d1-card-data.jwk        D1's public key for encryptedData, kid inside

Look and switch while it runs (answers this machine only):

  curl http://127.0.0.1:8444/admin/ledger/summary
  curl 'http://127.0.0.1:8444/admin/ledger?issuerRequestId=ord-1'
  curl -X PATCH -d '{"faults":{"reset_after":0.1}}' http://127.0.0.1:8444/admin/settings
  curl 'http://127.0.0.1:8444/admin/events?kind=notification&issuerRequestId=ord-1'
  curl http://127.0.0.1:8444/admin/faults
  curl -X PATCH -d '{"client_certificate":"off","latency":{"p50":"40ms","p99":"2s"}}' http://127.0.0.1:8444/admin/settings
  curl -X POST -d '{"kid":"sim-jwe-2"}' http://127.0.0.1:8444/admin/jwe-keys      # one more key
  curl -X DELETE http://127.0.0.1:8444/admin/jwe-keys/sim-jwe-1                  # withdraw one
  curl -X POST http://127.0.0.1:8444/admin/reset

--renew-client replaces issuer.pem and its key, as at the end of their validity.

Exit codes: 0 stopped, 1 failed, 2 usage, 4 configuration invalid.`

//go:embed example.yaml
var example string

// command is the program with its arguments, writing to out.
func command(args []string, out io.Writer) *cobra.Command {
	o := defaultOptions()
	var file string
	var showExample, renew bool
	cmd := &cobra.Command{
		Use: "d1sim [flags]", Short: "A simulated Thales D1", Long: long,
		Example:      "  d1sim --tls off --notify http://127.0.0.1:8080 --day 10s\n  d1sim --example > uat.yaml\n  d1sim --config uat.yaml",
		SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showExample {
				_, err := io.WriteString(out, example)
				return err
			}
			if err := o.load(cmd, file, args); err != nil {
				return configError{err}
			}
			if renew {
				return o.renew(out)
			}
			return serve(cmd.Context(), &o, out)
		},
	}
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "YAML file; flags given beside it win")
	f.BoolVar(&showExample, "example", false, "print a configuration file with every key, and stop")
	f.BoolVar(&renew, "renew-client", false, "replace the issuer's client certificate in --dir, and stop")
	f.StringVar(&o.Listen, "listen", o.Listen, "address of D1's API")
	f.StringVar(&o.Admin, "admin", o.Admin, "address of the admin endpoint (loopback clients only)")
	f.StringVar(&o.TLS, "tls", o.TLS, "off, server or mutual")
	f.StringVar(&o.Dir, "dir", o.Dir, "certificates and keys; filled when it holds none")
	f.StringVar(&o.Issuer, "issuer", o.Issuer, "the issuer's id, 10 characters")
	f.StringVar(&o.Settings.NotificationURL, "notify", "", "base URL of the issuer's notification endpoint")
	f.IntVar(&o.Notifications.BatchSize, "notify-batch", 1, "operations in one notification at most")
	f.DurationVar(&o.Settings.Day, "day", o.Settings.Day, "how long one day of the Shopfloor takes")
	f.Float64Var(&o.Settings.RateLimit.PerSecond, "rate", o.Settings.RateLimit.PerSecond, "orders per second; 0: no limit")
	f.IntVar(&o.Settings.RateLimit.Burst, "burst", o.Settings.RateLimit.Burst, "orders at once")
	f.StringVar(&o.Settings.Duplicates, "duplicates", d1sim.DuplicatesReplay, "known issuerRequestId: replay, reject or blind")
	f.BoolVar(&o.Settings.SkipDecryption, "skip-decryption", false, "take encryptedData as given, to measure the client")
	f.Uint64Var(&o.Seed, "seed", 0, "repeat the same outcomes; 0: others every time")
	return cmd
}

// load reads the file, then the flags once more: they win over it.
func (o *options) load(cmd *cobra.Command, file string, args []string) error {
	if file != "" {
		if err := o.readFile(file); err != nil {
			return err
		}
		if err := cmd.ParseFlags(args); err != nil {
			return err
		}
	}
	return o.validate()
}

// renew gives the issuer another client certificate, also beside a simulator
// that runs: the authority stays.
func (o *options) renew(out io.Writer) error {
	m, _, err := simkeys.OpenDir(o.Dir, o.Issuer, append([]string{"localhost", "127.0.0.1", "::1"}, o.Hosts...))
	if err != nil {
		return err
	}
	if err := m.RenewClient(o.Dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: new client certificate, serial %x, until %s\n", o.Dir,
		m.Client.Leaf.SerialNumber, m.Client.Leaf.NotAfter.UTC().Format(time.DateOnly))
	return err
}

// serve runs the simulator until ctx ends, then prints the totals.
func serve(ctx context.Context, o *options, out io.Writer) error {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, o.Hosts...)
	m, created, err := simkeys.OpenDir(o.Dir, o.Issuer, hosts)
	if err != nil {
		return err
	}
	c, err := o.simulator(m)
	if err != nil {
		return configError{err}
	}
	sim, err := d1sim.New(c)
	if err != nil {
		return configError{err}
	}
	var lc net.ListenConfig
	api, err := lc.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	admin, err := lc.Listen(ctx, "tcp", o.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), api.Close())
	}
	if err := announce(out, o, api.Addr(), admin.Addr(), created); err != nil {
		return errors.Join(err, api.Close(), admin.Close())
	}
	sim.Start(ctx)
	defer sim.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.serveAPI(ctx, api, m, sim) })
	g.Go(func() error {
		return serveUntil(ctx, &http.Server{Handler: sim.AdminHandler(), ReadHeaderTimeout: headerTimeout}, admin, false)
	})
	err = g.Wait()
	totals, _ := json.Marshal(sim.Summary()) // plain integers
	_, printed := fmt.Fprintf(out, "%s\n", totals)
	return errors.Join(err, printed)
}

func (o *options) serveAPI(ctx context.Context, l net.Listener, m *simkeys.Material, sim *d1sim.Simulator) error {
	// A client that goes away in a handshake is nothing to tell.
	srv := &http.Server{Handler: sim.Handler(), ConnContext: sim.ConnContext, ReadHeaderTimeout: headerTimeout,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	if o.TLS != "off" {
		srv.TLSConfig = sim.ServerTLS(m.CA.ServerTLS(m.Server, true))
	}
	return serveUntil(ctx, srv, l, o.TLS != "off")
}

// headerTimeout is how long a client may take for the head of a request.
const headerTimeout = 10 * time.Second

func serveUntil(ctx context.Context, srv *http.Server, l net.Listener, secure bool) error {
	srv.IdleTimeout = 5 * time.Minute
	stopped := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stopped()
	var err error
	if secure {
		err = srv.ServeTLS(l, "", "")
	} else {
		err = srv.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

func announce(out io.Writer, o *options, api, admin net.Addr, created bool) error {
	scheme, keys := "https", "read"
	if o.TLS == "off" {
		scheme = "http"
	}
	if created {
		keys = "made now"
	}
	notify := o.Settings.NotificationURL
	if notify == "" {
		notify = o.Notifications.URL
	}
	if notify == "" {
		notify = "nobody; see --notify"
	}
	_, err := fmt.Fprintf(out, `D1 simulator for issuer %s, not Thales
  orders    %s://%s/banking/v1
  tokens    %s://%s/authz/v1/oauth2/token
  admin     http://%s/admin/ledger
  TLS       %s
  keys      %s (%s)
  notifies  %s
  one day   takes %s
`, o.Issuer, scheme, api, scheme, api, admin, o.TLS, o.Dir, keys, notify, o.Settings.Day)
	return err
}
