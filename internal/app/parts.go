package app

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"time"

	"cardbatch/internal/change"
	"cardbatch/internal/config"
	"cardbatch/internal/d1"
	"cardbatch/internal/drop"
	"cardbatch/internal/drop/localdir"
	"cardbatch/internal/drop/sftp"
	"cardbatch/internal/issuance"
	"cardbatch/internal/ratelimit"
	"cardbatch/internal/sealed"
	"cardbatch/internal/submit"
	"cardbatch/internal/track"
)

// openDrop makes a drop. No connection is opened yet.
func openDrop(c config.Drop) (drop.Drop, error) {
	if c.Type == config.LocalDir {
		d, err := localdir.New(c.Root)
		return d, invalid(err)
	}
	password, err1 := c.PasswordFile.Secret()
	key, err2 := c.PrivateKeyFile.Secret()
	passphrase, err3 := c.PassphraseFile.Secret()
	knownHosts, err4 := c.KnownHostsFile.Path()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, invalid(err)
	}
	d, err := sftp.New(sftp.Config{
		Address: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), User: c.User, Root: c.Root,
		Password: password, PrivateKey: key, Passphrase: passphrase,
		HostKeys: c.HostKeys, KnownHosts: knownHosts,
		DialTimeout: c.ConnectTimeout, IdleTimeout: c.SilenceTimeout, KeepAlive: c.Keepalive,
		MaxConnections: c.MaxConnections,
	})
	return d, invalid(err)
}

// openIssuer makes all that talks to D1 for one issuer, and shares one rate
// between the stages.
func (a *App) openIssuer(c config.Issuer, session string, ring *sealed.Keyring) (*issuer, error) {
	i := &issuer{Issuer: c}
	warn := func(err error) { a.log.Warn().Str("issuer", c.ID).Err(err).Msg("D1: somebody should see to this") }
	var err error
	if i.encoder, err = newEncoder(c.D1, a.products, warn); err != nil {
		return nil, err
	}
	if i.client, err = newClient(c, a.now, warn, a.observeD1(c.ID)); err != nil {
		return nil, err
	}
	limiter, err := ratelimit.New(a.store, "d1/"+c.ID, ratelimit.Config{
		PerSecond: c.Rate.RequestsPerSecond, Burst: c.Rate.Burst, InFlight: c.Rate.InFlight, Now: a.now,
	})
	if err != nil {
		return nil, invalid(err)
	}
	ordering := submit.Config{
		IssuerID: c.ID, Session: session, ClaimSize: c.Submit.ClaimSize, InFlight: c.Rate.InFlight,
		Settle: c.Submit.Settle, RetryWait: c.Submit.RetryWait, RefusalStop: c.Submit.SameRefusals,
		DrainLimit: a.cfg.DrainTimeout, Hours: c.Hours(), PerSecond: ordersPerSecond(c),
	}
	means := submit.Deps{
		Store: a.store, Queue: a.store, Limiter: limiter, Opener: ring, Now: a.now, Log: a.log,
		Probe: func(ctx context.Context) error { return i.client.Probe(ctx) },
		Ask:   func(ctx context.Context, cardID string) error { return askAbout(ctx, limiter, i.client, cardID) },
		Send: func(ctx context.Context, claim issuance.Claim, body []byte) (string, error) {
			return i.client.Order(ctx, d1.Call{CardID: claim.CardID, CorrelationID: claim.CorrelationID, Body: body})
		},
	}
	if c.Submit.Mode == config.SubmitBatch {
		if err = a.inBatches(c, i.client, &ordering, &means); err != nil {
			return nil, invalid(err)
		}
	}
	if i.submit, err = submit.New(ordering, means); err != nil {
		return nil, invalid(err)
	}
	i.track, err = track.New(track.Config{
		IssuerID: c.ID, Budget: c.Track.Budget, InFlight: min(4, c.Rate.InFlight), Silence: c.Track.SilentAfter, Settle: c.Submit.Settle,
		NotFoundAsks: c.Track.NotFoundAsks, UnclearAsks: c.Track.UnclearAsks, MaxAttempts: c.Submit.MaxAttempts,
		DailyBudget: c.Track.DailyBudget, Zone: c.TimeZone.Location,
	}, track.Deps{
		Store: a.store, Issuer: i.client, Limiter: limiter.Background(), Now: a.now, Log: a.log,
	})
	if err != nil {
		return nil, invalid(err)
	}
	i.change, err = change.New(change.Config{
		IssuerID: c.ID, Session: session, Products: a.products, Wait: c.Change.WaitForOrder, Silence: c.Change.SilentAfter,
		Settle: c.Submit.Settle, RetryWait: c.Submit.RetryWait, InFlight: min(4, c.Rate.InFlight), NotFoundAsks: c.Track.NotFoundAsks,
		UnclearAsks: c.Track.UnclearAsks, MaxAttempts: c.Submit.MaxAttempts, RefusalStop: c.Submit.SameRefusals,
	}, change.Deps{
		Store: a.store, Box: ring, Now: a.now, Log: a.log,
		Limiter: limiter, // not its Background: see package change
		Bodies:  change.Bodies{Amend: d1.Amend, Country: d1.ChangeCountry},
		D1: change.D1{Ask: i.client.ProductionStatus, Send: func(ctx context.Context, claim issuance.ChangeClaim, body []byte) (string, error) {
			return i.client.Update(ctx, d1.Call{CardID: claim.CardID, CorrelationID: claim.CorrelationID, Body: body})
		}},
	})
	return i, invalid(err)
}

// askAbout asks D1 about a card for the sake of an answer, any answer.
func askAbout(ctx context.Context, limiter *ratelimit.Limiter, client *d1.Client, cardID string) error {
	done, err := limiter.Background().Acquire(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = client.ProductionStatus(ctx, cardID, "")
	return err
}

func newEncoder(c config.D1, products map[string]issuance.Product, warn func(error)) (*d1.Encoder, error) {
	files := make([]d1.JWEFile, len(c.JWEKeys))
	for i, k := range c.JWEKeys {
		path, err := k.File.Path()
		if err != nil {
			return nil, invalid(err)
		}
		files[i] = d1.JWEFile{ID: k.KeyID, Path: path}
	}
	e, err := d1.NewEncoder(d1.EncoderConfig{JWEFiles: files, Products: products, Warn: warn})
	return e, invalid(err)
}

func newClient(c config.Issuer, now func() time.Time, warn func(error), observe func(string, int, time.Duration)) (*d1.Client, error) {
	keyPath, err := c.D1.Token.KeyFile.Path()
	if err != nil {
		return nil, invalid(err)
	}
	cfg := d1.Config{
		IssuerID: c.ID, BaseURL: c.D1.BaseURL, TokenURL: c.D1.TokenURL,
		Token: d1.Token{KeyID: c.D1.Token.KeyID, KeyFile: keyPath, Audience: c.D1.Token.Audience,
			Subject: c.D1.Token.Subject, Lifetime: c.D1.Token.Lifetime},
		Timeout: c.D1.RequestTimeout, UpdatePath: c.D1.UpdatePath, InFlight: c.Rate.InFlight + c.Submit.Batch.InFlight, Now: now, Warn: warn, Observe: observe,
	}
	if u, err := url.Parse(c.D1.BaseURL); err == nil && u.Scheme == "https" {
		if cfg.TLSFiles, err = tlsFiles(c.D1.TLS); err != nil {
			return nil, invalid(err)
		}
	}
	client, err := d1.New(cfg)
	return client, invalid(err)
}

func tlsFiles(c config.TLS) (d1.TLSFiles, error) {
	cert, err1 := c.CertFile.Path()
	key, err2 := c.KeyFile.Path()
	ca, err3 := c.CAFile.Path()
	return d1.TLSFiles{Cert: cert, Key: key, CA: ca}, errors.Join(err1, err2, err3)
}
