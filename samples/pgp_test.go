package samples_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/pgp"
	"cardbatch/internal/pgp/pgptest"
	"cardbatch/internal/unwrap"
	"cardbatch/samples"
)

// The sample keys; pgp/README.md says the same.
const (
	keyFolder = "pgp"
	keyNotice = "Comment: cardbatch sample, published on purpose: it protects nothing\n"
	encrypted = ".pgp"
)

// Before the clock of anybody who tries the samples.
func keysMade() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
func sealed() time.Time   { return time.Date(2026, 2, 1, 21, 30, 0, 0, time.UTC) }

// post is who has keys.
type post struct{ us, bank, stranger *pgptest.Pair }

// all returns the keys of everybody.
func (p post) all() []*pgptest.Pair { return []*pgptest.Pair{p.us, p.bank, p.stranger} }

// sampleKeys reads the sample keys. With -update it makes those that are not
// there: messages that nobody has made anew must stay readable.
func sampleKeys(t *testing.T) post {
	t.Helper()
	read := func(name string) *pgptest.Pair {
		private, err1 := os.ReadFile(filepath.Join(keyFolder, name+".private.asc"))
		public, err2 := os.ReadFile(filepath.Join(keyFolder, name+".public.asc"))
		if err := errors.Join(err1, err2); errors.Is(err, fs.ErrNotExist) && *update {
			return makeKey(t, name)
		}
		must(t, errors.Join(err1, err2))
		pair, err := pgptest.ReadPair(private, public)
		must(t, err)
		return pair
	}
	return post{us: read("us"), bank: read("bank"), stranger: read("stranger")}
}

func makeKey(t *testing.T, name string) *pgptest.Pair {
	t.Helper()
	pair, err := pgptest.NewPair("sample-"+name, keysMade(), 0)
	must(t, err)
	for kind, file := range map[string]*[]byte{"private": &pair.PrivateFile, "public": &pair.PublicFile} {
		*file = bytes.Replace(*file, []byte("\n\n"), []byte("\n"+keyNotice+"\n"), 1)
		must(t, os.WriteFile(filepath.Join(keyFolder, name+"."+kind+".asc"), *file, 0o644))
	}
	return pair
}

// badMessages are what is wrong around a file, not in it.
func badMessages(keys post) map[issuance.Code]func(clear []byte) ([]byte, error) {
	us, bank, stranger := keys.us, keys.bank, keys.stranger
	return map[issuance.Code]func(clear []byte) ([]byte, error){
		issuance.PGPNotEncrypted: func(clear []byte) ([]byte, error) { return clear, nil },
		issuance.PGPNotForUs: func(clear []byte) ([]byte, error) {
			return pgptest.Seal(clear, stranger.Public, bank.Private, sealed())
		},
		issuance.PGPDamaged: func(clear []byte) ([]byte, error) {
			message, err := pgptest.Seal(clear, us.Public, bank.Private, sealed())
			return message[:max(0, len(message)-cut)], err
		},
		issuance.PGPWeak: func(clear []byte) ([]byte, error) { return pgptest.Unprotected(clear, us, sealed()) },
		issuance.PGPSignatureMissing: func(clear []byte) ([]byte, error) {
			return pgptest.Seal(clear, us.Public, pgp.Key{}, sealed())
		},
		issuance.PGPSignerUntrusted: func(clear []byte) ([]byte, error) {
			return pgptest.Seal(clear, us.Public, stranger.Private, sealed())
		},
		issuance.PGPSignatureInvalid: func(clear []byte) ([]byte, error) { return pgptest.Forge(clear, us, bank, sealed()) },
	}
}

// cut is what PGP_DAMAGED lacks at its end, in bytes.
const cut = 40

// message returns the message at path if it has the content that it should have.
// Encryption makes other bytes each time, so a message stays until its content
// changes; only then does -update write another one.
func message(t *testing.T, path string, content []byte, seal func([]byte) ([]byte, error)) []byte {
	t.Helper()
	there, err := os.ReadFile(path)
	if err == nil && reveals(t, there, content) {
		return there
	}
	if !*update {
		t.Errorf("%s is not there or has other content than the test makes; rewrite it with go test ./samples -update", path)
	}
	made, err := seal(content)
	must(t, err)
	if !reveals(t, made, content) {
		t.Fatalf("%s does not have the content that it is made of", path)
	}
	return made
}

// reveals reports whether a message has a content, or was cut short in it.
func reveals(t *testing.T, message, content []byte) bool {
	t.Helper()
	if bytes.Equal(message, content) {
		return true // in the clear
	}
	got, err := pgptest.Reveal(message, sampleKeys(t).all()...)
	if err != nil {
		return len(got) > 0 && len(got) < len(content)+cut && bytes.HasPrefix(content, got)
	}
	return bytes.Equal(got, content)
}

// opener is that of a source which takes encrypted and signed files.
func opener(t *testing.T) *pgp.Opener {
	t.Helper()
	keys := sampleKeys(t)
	o, err := pgp.NewOpener(pgp.OpenConfig{Decrypt: []pgp.Key{keys.us.Private}, Verify: []pgp.Key{keys.bank.Public},
		SignatureRequired: true, Now: day})
	must(t, err)
	return o
}

const goodEncrypted = "orders/good.csv.gz.pgp"

// TestGoodEncrypted: good.csv, compressed, encrypted and signed, is taken with
// all of its rows by a source that is configured as pgp/README.md says.
func TestGoodEncrypted(t *testing.T) {
	keys := sampleKeys(t)
	clear, err := os.ReadFile("orders/good.csv")
	must(t, err)
	var zipped bytes.Buffer
	w, err := unwrap.Writer(&zipped, unwrap.Gzip, "good.csv")
	must(t, err)
	_, err = w.Write(clear)
	must(t, errors.Join(err, w.Close()))
	content := message(t, goodEncrypted, zipped.Bytes(), func(b []byte) ([]byte, error) {
		return pgptest.Seal(b, keys.us.Public, keys.bank.Private, sealed())
	})
	control, err := os.ReadFile("orders/good.csv" + orderfile.ControlSuffix)
	must(t, err)
	d := &draft{content: content, control: new(issuance.Control)}
	*d.control, err = orderfile.ParseControl(control)
	must(t, err)
	d.control.File, d.control.Sequence = filepath.Base(goodEncrypted), d.control.Sequence+1
	d.prove()
	control, err = orderfile.EncodeControl(*d.control)
	must(t, err)
	if *update {
		must(t, os.WriteFile(goodEncrypted, content, 0o644))
		must(t, os.WriteFile(goodEncrypted+orderfile.ControlSuffix, control, 0o644))
	}
	if there, err := os.ReadFile(goodEncrypted + orderfile.ControlSuffix); err != nil || !bytes.Equal(there, control) {
		t.Errorf("its control file is not what the test makes; rewrite it with go test ./samples -update (%v)", err)
	}

	cfg, err := config.LoadFS(samples.Config, samples.ConfigPath)
	must(t, err)
	src := &cfg.Sources[0]
	src.PGP = config.SourcePGP{Signature: config.SignatureRequired, DecryptKeyFiles: []config.File{keyFolder + "/us.private.asc"},
		VerifyKeyFiles: []config.File{keyFolder + "/bank.public.asc"}}
	src.Format.Compression = string(unwrap.Gzip)
	rules, err := app.RulesOf(cfg, src.Name, day)
	must(t, err)
	v, err := app.CheckFile(t.Context(), goodEncrypted, rules)
	must(t, err)
	if !v.Clean() || v.Rows != 20 || v.Good != 20 || !v.Control {
		t.Errorf("%s %s, %d rows, %d good: %v", v.Code, v.Reason, v.Rows, v.Good, v.Errors)
	}
}
