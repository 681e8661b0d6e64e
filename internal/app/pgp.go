package app

import (
	"errors"
	"fmt"
	"io"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/config"
	"cardbatch/internal/pgp"
	"cardbatch/internal/report"
)

// openOpener makes what decrypts the files of a source, nil when they are not
// encrypted. No file may be larger decrypted than it may be as it comes.
func openOpener(s config.Source, now func() time.Time) (*pgp.Opener, error) {
	if !s.PGP.Enabled() {
		return nil, nil //nolint:nilnil // not encrypted
	}
	decrypt, err1 := privateKeys(s.PGP.DecryptKeyFiles, s.PGP.PassphraseFile)
	verify, err2 := publicKeys(s.PGP.VerifyKeyFiles)
	if err := errors.Join(err1, err2); err != nil {
		return nil, invalid(err)
	}
	o, err := pgp.NewOpener(pgp.OpenConfig{
		Decrypt: decrypt, Verify: verify, SignatureRequired: s.PGP.Signature == config.SignatureRequired,
		MaxClear: int64(s.MaxSize), Now: now,
	})
	return o, invalid(err)
}

// decrypted returns what decrypts a file, if there is an opener, and hands it to
// next, if there is one.
func decrypted(o *pgp.Opener, next unwrapping) unwrapping {
	switch {
	case o == nil:
		return next
	case next == nil:
		return o.Open
	}
	return func(r io.Reader) (io.Reader, error) {
		content, err := o.Open(r)
		if err != nil {
			return nil, err
		}
		inner, err := next(content)
		if err != nil {
			return nil, err
		}
		return &toTheEnd{inner, content}, nil
	}
}

// toTheEnd reads what is in an envelope and, when that has ended, the envelope
// to its own end: only there is it known to be whole, and its signature good.
type toTheEnd struct{ inside, envelope io.Reader }

// Read implements [io.Reader].
func (t *toTheEnd) Read(p []byte) (int, error) {
	n, err := t.inside.Read(p)
	if errors.Is(err, io.EOF) {
		if _, rest := io.Copy(io.Discard, t.envelope); rest != nil {
			err = rest
		}
	}
	return n, err
}

// openSealer makes what encrypts reports, nil when they are not encrypted.
func openSealer(c config.ReportPGP, sessionKeys []byte, now func() time.Time) (*pgp.Sealer, error) {
	if !c.Enabled() {
		return nil, nil //nolint:nilnil // not encrypted
	}
	to, sign, err := reportKeys(c)
	if err != nil {
		return nil, invalid(err)
	}
	s, err := pgp.NewSealer(pgp.SealConfig{To: to, Sign: sign, Armor: c.Armor, Secret: sessionKeys, Now: now})
	return s, invalid(err)
}

func reportKeys(c config.ReportPGP) (to []pgp.Key, sign pgp.Key, err error) {
	if to, err = publicKeys(c.EncryptToFiles); err != nil || c.SignKeyFile == "" {
		return to, sign, err
	}
	own, err := privateKeys([]config.File{c.SignKeyFile}, c.PassphraseFile)
	if err != nil {
		return nil, sign, err
	}
	if len(own) != 1 {
		return nil, sign, fmt.Errorf("sign_key_file %s holds %d keys: which one signs?", string(c.SignKeyFile), len(own))
	}
	return to, own[0], nil
}

// sessionKeySecret is what the session keys of reports are derived from. It
// comes from the key that must never change, under a label of its own.
func sessionKeySecret(f *cardholder.Fingerprinter) []byte {
	const label = "session keys of PGP reports"
	return append(f.Content(label, "first half"), f.Content(label, "second half")...)
}

func privateKeys(files []config.File, passphraseFile config.File) ([]pgp.Key, error) {
	passphrase, err := passphraseFile.Secret()
	if err != nil {
		return nil, err
	}
	return eachKeyFile(files, func(data []byte) ([]pgp.Key, error) { return pgp.PrivateKeys(data, passphrase) })
}

func publicKeys(files []config.File) ([]pgp.Key, error) { return eachKeyFile(files, pgp.PublicKeys) }

func eachKeyFile(files []config.File, read func([]byte) ([]pgp.Key, error)) ([]pgp.Key, error) {
	var all []pgp.Key
	for _, f := range files {
		data, err := f.Read()
		if err == nil {
			var keys []pgp.Key
			keys, err = read(data)
			clear(data)
			all = append(all, keys...)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", string(f), err)
		}
	}
	return all, nil
}

// openPGP makes what the sources' files and reports and the issuers' reports
// are opened and sealed by.
func (a *App) openPGP(fingerprinter *cardholder.Fingerprinter) error {
	a.openers = map[string]*pgp.Opener{}
	a.envelopes = map[string]report.Envelope{}
	secrets := sessionKeySecret(fingerprinter)
	seal := func(key string, c config.ReportPGP) error {
		s, err := openSealer(c, secrets, a.now)
		if s != nil {
			a.envelopes[key] = s
		}
		return err
	}
	for _, s := range a.cfg.Sources {
		o, err := openOpener(s, a.now)
		if err != nil {
			return fmt.Errorf("set up PGP of source %s: %w", s.Name, err)
		}
		if o != nil {
			a.openers[s.Name] = o
		}
		if err := seal(sourceReports(s.Name), s.ReportPGP); err != nil {
			return fmt.Errorf("set up PGP of the reports of source %s: %w", s.Name, err)
		}
	}
	for _, i := range a.cfg.Issuers {
		if err := seal(issuerReports(i.ID), i.Report.PGP); err != nil {
			return fmt.Errorf("set up PGP of the reports of issuer %s: %w", i.ID, err)
		}
	}
	return nil
}

// Keys of App.envelopes.
func sourceReports(name string) string { return "source " + name }
func issuerReports(id string) string   { return "issuer " + id }

// PGPKey is a PGP key of the configuration and what it is for.
type PGPKey struct {
	Of  string `json:"of"`  // source or issuer
	Use string `json:"use"` // decrypt, verify, encrypt reports, sign reports
	pgp.Info
}

// PGPKeys lists the PGP keys of the configuration as they are at a time. The
// error joins what is wrong: files that cannot be read, and uses for which no
// key is left. Keys that have run out are no error while others do their work.
func PGPKeys(cfg *config.Config, at time.Time) ([]PGPKey, error) {
	var list []PGPKey
	var errs []error
	add := func(of, use string, needed bool, keys []pgp.Key, check func(pgp.Key, time.Time) pgp.Info) {
		good := 0
		for _, k := range keys {
			info := check(k, at)
			list = append(list, PGPKey{of, use, info})
			if info.Problem == "" {
				good++
			} else if use == useEncrypt || use == useSign {
				errs = append(errs, fmt.Errorf("%s: key %s to %s: it %s", of, info.ID, use, info.Problem))
			}
		}
		if needed && good == 0 && (use == useDecrypt || use == useVerify) {
			errs = append(errs, fmt.Errorf("%s: none of its keys to %s files can be used any more", of, use))
		}
	}
	reports := func(of string, c config.ReportPGP) {
		if !c.Enabled() {
			return
		}
		to, sign, err := reportKeys(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: reports: %w", of, err))
			return
		}
		add(of, useEncrypt, true, to, pgp.Key.CheckEncrypt)
		if c.SignKeyFile != "" {
			add(of, useSign, true, []pgp.Key{sign}, pgp.Key.CheckSign)
		}
	}
	for _, s := range cfg.Sources {
		o, err := openOpener(s, func() time.Time { return at })
		if err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", s.Name, err))
		} else if o != nil {
			add("source "+s.Name, useDecrypt, true, o.Decrypt, pgp.Key.CheckDecrypt)
			add("source "+s.Name, useVerify, o.SignatureRequired, o.Verify, pgp.Key.CheckVerify)
		}
		reports("source "+s.Name, s.ReportPGP)
	}
	for _, i := range cfg.Issuers {
		reports("issuer "+i.ID, i.Report.PGP)
	}
	return list, errors.Join(errs...)
}

// What PGP keys are for.
const (
	useDecrypt = "decrypt"
	useVerify  = "verify"
	useEncrypt = "encrypt reports"
	useSign    = "sign reports"
)
