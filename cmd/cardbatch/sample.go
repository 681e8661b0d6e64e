package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/unwrap"

	"github.com/spf13/cobra"
)

// sampleFlags say what order file to make up.
type sampleFlags struct {
	source, out  string
	rows         int
	sequence     int64
	businessDate dateFlag
}

// sampleView is what was written, as JSON.
type sampleView struct {
	File     string           `json:"file"`
	Control  string           `json:"control,omitempty"` // not written where the source takes none
	Rows     int64            `json:"rows"`
	Size     int64            `json:"size"`
	SHA256   string           `json:"sha256"`
	Products map[string]int64 `json:"products"`
}

func newSample(s *settings) *cobra.Command {
	var f sampleFlags
	cmd := &cobra.Command{
		Use:   "sample --source NAME",
		Short: "write an order file with made-up orders, for those who write the export",
		Long: `sample writes an order file, and its control file if the source takes such, in
its format and before any encryption: made-up people, card numbers of its products' BIN ranges, right checksums. Only
for issuers of the environment TEST. Every call makes other order_ids, card_ids
and, from the 1st to the last row, the same card numbers again. Existing files
are never replaced.

The sequence number must be the next one for the source to take the file; the
last receipt names it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			view, err := f.write(cfg, now())
			if err != nil {
				return fmt.Errorf("write a sample: %w", err)
			}
			if src := cfg.Source(f.source); src.PGP.Enabled() {
				note := "note: this source takes encrypted files: encrypt and sign " + filepath.Base(view.File)
				if view.Control != "" {
					note += ", and put name and sha256 of the encrypted file into the control file"
				}
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), note)
			}
			if s.output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), view)
			}
			t := newTable("file", ">rows", ">bytes", "sha256")
			t.add(view.File, view.Rows, view.Size, view.SHA256)
			return t.write(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&f.source, "source", "", "the `source` of the configuration it is for")
	cmd.Flags().IntVar(&f.rows, "rows", 10, "`number` of orders")
	cmd.Flags().StringVar(&f.out, "out", ".", "`directory` it is written to")
	cmd.Flags().Int64Var(&f.sequence, "sequence", 1, "sequence `number` in the control file")
	cmd.Flags().Var(&f.businessDate, "business-date", "business date in the control file; today by default")
	return cmd
}

func (f *sampleFlags) write(cfg *config.Config, at time.Time) (sampleView, error) {
	src := cfg.Source(f.source)
	issuer := cfg.Issuer(src.Issuer)
	switch {
	case f.source == "":
		return sampleView{}, exitcode.Mark(errors.New("for which source?"), exitcode.Usage, "use --source NAME")
	case src.Name == "":
		return sampleView{}, exitcode.Mark(fmt.Errorf("the configuration has no source %s", f.source), exitcode.Usage, "")
	case src.Content == config.ContentChanges:
		return sampleView{}, exitcode.Mark(fmt.Errorf("source %s takes changes of orders", f.source), exitcode.Usage, "samples/changes has files of those")
	case issuer.Environment != config.Test:
		return sampleView{}, exitcode.Mark(fmt.Errorf("issuer %s is %s", issuer.ID, issuer.Environment), exitcode.Usage,
			"made-up orders are for TEST: in production they would be ordered")
	case f.rows < 0 || int64(f.rows) > src.MaxRows:
		return sampleView{}, exitcode.Mark(fmt.Errorf("%d rows are not 0 to %d, the most the source takes", f.rows, src.MaxRows), exitcode.Usage, "")
	case f.sequence < 1:
		return sampleView{}, exitcode.Mark(errors.New("a sequence is at least 1"), exitcode.Usage, "")
	}
	products, err := sampleProducts(cfg, src.Format.Constants["card_product_id"])
	if err != nil {
		return sampleView{}, err
	}
	local := at.In(issuer.TimeZone.Location)
	if f.businessDate == "" {
		f.businessDate = dateFlag(local.Format(time.DateOnly))
	}
	pattern := src.Pattern
	if src.PGP.Enabled() {
		pattern = strings.TrimSuffix(pattern, ".pgp")
	}
	name := sampleName(pattern, fmt.Sprintf("sample-%s-%04d", strings.ReplaceAll(string(f.businessDate), "-", ""), f.sequence))
	if name == "" {
		return sampleView{}, fmt.Errorf("no file name found for the pattern %s of the source", src.Pattern)
	}
	format := src.Format.Rows()
	options := sample.Options{Format: &format, Rows: f.rows, Products: products, Now: at, Prefix: "smp-" + strings.ToLower(rand.Text()[:8]), Seed: seed()}
	return f.writeFiles(name, &src, options, at)
}

// writeFiles writes the order file, then its control file, as core banking must.
func (f *sampleFlags) writeFiles(name string, src *config.Source, options sample.Options, at time.Time) (sampleView, error) {
	file := filepath.Join(f.out, name)
	var made sample.File
	err := writeNew(file, func(out *os.File) error {
		sum, size := sha256.New(), &counter{}
		packed, err := unwrap.Writer(io.MultiWriter(out, sum, size), unwrap.Compression(src.Format.Compression), strings.TrimSuffix(name, filepath.Ext(name)))
		if err != nil {
			return err
		}
		made, err = sample.Generate(packed, options)
		err = errors.Join(err, packed.Close())
		made.Size, made.SHA256 = size.n, hex.EncodeToString(sum.Sum(nil)) // as dropped
		return err
	})
	if err != nil {
		return sampleView{}, err
	}
	view := sampleView{File: file, Rows: made.Rows, Size: made.Size, SHA256: made.SHA256, Products: made.Products}
	if !src.Completion.Control {
		return view, nil
	}
	view.Control = file + orderfile.ControlSuffix
	ctl, err := orderfile.EncodeControl(made.Control(name, src.Issuer, f.sequence, string(f.businessDate), at))
	if err == nil {
		err = writeNew(view.Control, func(out *os.File) error {
			_, err := out.Write(ctl)
			return err
		})
	}
	return view, err
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// writeNew writes a file that must not be there yet, and leaves none behind
// when it fails.
func writeNew(name string, write func(*os.File) error) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user names it
	if err != nil {
		return err
	}
	err = errors.Join(write(out), out.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// sampleProducts returns the products that rows can be made for.
func sampleProducts(cfg *config.Config, only string) ([]issuance.Product, error) {
	var products []issuance.Product
	var reasons []error
	all := cfg.IssuanceProducts()
	for _, c := range cfg.Products { // in their order
		p := all[c.ID]
		if only != "" && p.ID != only {
			continue
		}
		if err := sample.Fits(&p); err != nil {
			reasons = append(reasons, fmt.Errorf("product %s: %w", p.ID, err))
			continue
		}
		products = append(products, p)
	}
	if len(products) == 0 {
		return nil, errors.Join(reasons...)
	}
	return products, nil
}

// sampleName makes a name that the source's pattern matches, "" when none is found.
func sampleName(pattern, stem string) string {
	for _, name := range []string{
		strings.ReplaceAll(strings.Replace(pattern, "*", stem, 1), "*", ""),
		strings.NewReplacer("*", "", "?", "0").Replace(strings.Replace(pattern, "*", stem, 1)),
		stem + ".csv",
	} {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return name
		}
	}
	return ""
}

func seed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
