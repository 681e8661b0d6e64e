package app_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/pgp/pgptest"
	"cardbatch/internal/unwrap"
)

// inFormat writes a sample order file anew, in the format of the first source,
// and drops it, with seal around it, with its control file.
func (w *world) inFormat(t *testing.T, sample, name string, seal func([]byte) []byte) {
	t.Helper()
	format := w.cfg.Sources[0].Format
	layout, err := orderfile.NewLayout(format.Rows())
	must(t, err)
	in, err := os.ReadFile("../../samples/orders/" + sample)
	must(t, err)
	ctl, err := os.ReadFile("../../samples/orders/" + sample + ".ctl")
	must(t, err)
	control, err := orderfile.ParseControl(ctl)
	must(t, err)
	d, err := orderfile.NewDecoder(bytes.NewReader(in), orderfile.Options{})
	must(t, err)
	var out bytes.Buffer
	zipped, err := unwrap.Writer(&out, unwrap.Compression(format.Compression), "cards.csv")
	must(t, err)
	e, err := orderfile.NewLayoutEncoder(zipped, layout)
	must(t, err)
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		must(t, e.Encode(rec.Row))
	}
	must(t, e.Flush())
	must(t, zipped.Close())
	dropped := seal(out.Bytes())
	sum := sha256.Sum256(dropped)
	control.File, control.SHA256 = name, hex.EncodeToString(sum[:])
	ctl, err = orderfile.EncodeControl(control)
	must(t, err)
	w.write(t, "drop/drop/"+name, string(dropped))
	w.write(t, "drop/drop/"+name+".ctl", string(ctl))
}

// TestSourceWithAFormat: a source is read as its configuration says, by the
// daemon and offline, encrypted or not.
func TestSourceWithAFormat(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %v", encrypted), func(t *testing.T) {
			w := newWorld(t)
			seal := func(b []byte) []byte { return b }
			if encrypted {
				p := w.encrypt(t)
				seal = func(b []byte) []byte {
					message, err := pgptest.Seal(b, p.us.Public, p.bank.Private, time.Now())
					must(t, err)
					return message
				}
			}
			src := &w.cfg.Sources[0]
			src.Pattern = "*.zip*"
			src.Format = config.Format{Compression: "zip", MaxRatio: 100, Charset: "utf-16", Delimiter: "\t", AbsentColumns: "allow",
				Values: map[string]map[string]string{"issuance": {"neu": "CREATION"}}}
			a, stop := w.start(t)
			w.inFormat(t, "good.csv", "good.zip", seal)
			rules, err := app.RulesOf(w.cfg, src.Name, time.Now)
			must(t, err)
			v, err := app.CheckFile(t.Context(), filepath.Join(w.dir, "drop/drop/good.zip"), rules)
			must(t, err)
			if !v.Accepted || v.Rows != 20 || v.Good < 18 || !v.Control { // two rows have a JWE for another D1
				t.Errorf("offline: %s %s, %d rows, %d good", v.Code, v.Reason, v.Rows, v.Good)
			}
			if _, err := a.RunJob(t.Context(), "pickup", ""); exitcode.Of(err) != exitcode.Rejected {
				t.Errorf("pickup: %v\n%s", err, w.log)
			}
			stop()
			s, err := app.OpenStore(t.Context(), w.cfg, true, nil)
			must(t, err)
			defer func() { must(t, s.Close()) }()
			batches, err := s.Batches(t.Context(), issuance.BatchFilter{})
			must(t, err)
			if len(batches) != 1 || batches[0].State != issuance.BatchAccepted || batches[0].Rows != 20 {
				t.Errorf("batches: %+v", batches)
			}
		})
	}
}
