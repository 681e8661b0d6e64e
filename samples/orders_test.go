package samples_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/schemas"
)

var update = flag.Bool("update", false, "rewrite the sample files of mistakes")

const mistakes = "orders/mistakes"

// day is when the samples are taken; their expiries are years later.
func day() time.Time { return time.Date(2026, 12, 1, 21, 30, 0, 0, time.UTC) }

// draft is an order file in the making.
type draft struct {
	name    string
	rows    []*orderfile.Row
	content []byte
	control *issuance.Control // nil: none is written
	ctl     []byte
}

// newDraft makes three good orders, numbered from n, and their control file.
func newDraft(t *testing.T, name string, n int, spoil ...func(rows []*orderfile.Row)) *draft {
	t.Helper()
	d := &draft{name: name}
	for i := range 3 {
		d.rows = append(d.rows, order(n+i))
	}
	for _, s := range spoil {
		s(d.rows)
	}
	d.encode(t)
	d.control.Sequence = 1
	return d
}

func (d *draft) encode(t *testing.T) {
	t.Helper()
	d.layOut(t, orderfile.Format{})
}

// layOut is encode for a source with a format of its own.
func (d *draft) layOut(t *testing.T, f orderfile.Format) {
	t.Helper()
	layout, err := orderfile.NewLayout(f)
	must(t, err)
	var b bytes.Buffer
	e, err := orderfile.NewLayoutEncoder(&b, layout)
	must(t, err)
	for _, r := range d.rows {
		must(t, e.Encode(r))
	}
	must(t, e.Flush())
	d.content = b.Bytes()
	d.control = &issuance.Control{File: d.name, Rows: int64(len(d.rows)), IssuerID: issuer, Environment: "TEST",
		Sequence: 1, BusinessDate: "2026-12-01", CreatedAt: day().Format(time.RFC3339)}
	d.prove()
}

// prove lets the control file agree with the content again.
func (d *draft) prove() {
	sum := sha256.Sum256(d.content)
	d.control.SHA256 = hex.EncodeToString(sum[:])
}

// order is the simplest there is.
func order(n int) *orderfile.Row {
	text := cardholder.NewText
	return &orderfile.Row{
		OrderID: fmt.Sprintf("mistake-%06d", n), CardID: fmt.Sprintf("card-mistake-%06d", n), ConsumerID: fmt.Sprintf("c-mistake-%06d", n),
		CardProductID: sample.ProductVisa, Issuance: issuance.Creation, Delivery: "laposte-cip",
		PAN: cardholder.NewPAN(cardholder.WithCheckDigit(fmt.Sprintf("411111002%06d", n))), Expiry: text(fmt.Sprintf("30%02d", 6+n%7)),
		CardholderName: text("ZOFIA TESTOWA"), DeliveryFirstName: text("Zofia"), DeliveryLastName: text(fmt.Sprintf("Testowa %06d", n)),
		DeliveryLine1: text(fmt.Sprintf("%d Rue du Specimen", n)), DeliveryCity: text("Besançon"), DeliveryZipCode: text("25000"), DeliveryCountryCode: "FR",
	}
}

// drafts returns the files that show a code, in the order in which they are
// dropped: one, or an earlier one and the one with the mistake.
func drafts(t *testing.T, code issuance.Code) []*draft {
	t.Helper()
	name := string(code) + ".csv"
	if spoil, ok := badRows()[code]; ok {
		return []*draft{newDraft(t, name, 1, func(rows []*orderfile.Row) { spoil(rows[1]) })}
	}
	if spoil, ok := badFiles(t)[code]; ok {
		d := newDraft(t, name, 1)
		spoil(d)
		return []*draft{d}
	}
	if seal, ok := badMessages(sampleKeys(t))[code]; ok {
		d := newDraft(t, name+encrypted, 1)
		d.content = message(t, filepath.Join(mistakes, d.name), d.content, seal)
		d.prove()
		return []*draft{d}
	}
	if second, ok := history(t)[code]; ok {
		first := newDraft(t, "cards-1.csv", 1)
		return []*draft{first, second(first)}
	}
	t.Fatalf("nothing here makes a sample of %s", code)
	return nil
}

// badRows damage one row each.
func badRows() map[issuance.Code]func(r *orderfile.Row) {
	text := cardholder.NewText
	return map[issuance.Code]func(r *orderfile.Row){
		issuance.RequiredMissing:   func(r *orderfile.Row) { r.Delivery = "" },
		issuance.FormatInvalid:     func(r *orderfile.Row) { r.CardID = "card mistake" },
		issuance.ValueNotAllowed:   func(r *orderfile.Row) { r.Delivery = "pigeon-post" },
		issuance.UnknownProduct:    func(r *orderfile.Row) { r.CardProductID = "VISA_DEBIT_OLD" },
		issuance.LooksLikePAN:      func(r *orderfile.Row) { r.ConsumerID = r.PAN.Reveal() },
		issuance.PANInvalid:        func(r *orderfile.Row) { r.PAN = cardholder.NewPAN("4111110020000021") },
		issuance.PANOutsideBIN:     func(r *orderfile.Row) { r.CardProductID = sample.ProductMastercard },
		issuance.ExpiryInvalid:     func(r *orderfile.Row) { r.Expiry = text("0630") },
		issuance.ExpiryImplausible: func(r *orderfile.Row) { r.Expiry = text("2006") },
		issuance.NameNotEmbossable: func(r *orderfile.Row) { r.CardholderName = text("ZOFIA TESTOWA №22") },
		issuance.CardDataMissing:   func(r *orderfile.Row) { r.Expiry = text("") },
		issuance.CardDataTwice:     func(r *orderfile.Row) { r.EncryptedData = sample.NoiseJWE(sample.Kid, func() byte { return 7 }) },
		issuance.JWEMalformed: func(r *orderfile.Row) {
			r.PAN, r.Expiry, r.CardholderName = cardholder.PAN{}, text(""), text("")
			r.EncryptedData = sample.NoiseJWE("a-key-of-somebody-else", func() byte { return 7 })
		},
		issuance.CountryNotAllowed: func(r *orderfile.Row) { r.DeliveryCountryCode = "CH" },
		issuance.AddressIncomplete: func(r *orderfile.Row) { r.DeliveryFirstName, r.DeliveryLastName = text(""), text("") },
		issuance.GroupRequired:     func(r *orderfile.Row) { r.ShipmentType = "BULK" },
		issuance.PostalCodeInvalid: func(r *orderfile.Row) { r.DeliveryZipCode = text("1000") },
		issuance.PANRepeated:       func(r *orderfile.Row) { r.PAN = order(1).PAN },
	}
}

// badFiles damage a file or its control file.
func badFiles(t *testing.T) map[issuance.Code]func(d *draft) {
	t.Helper()
	replace := func(d *draft, from, to string) {
		d.content = bytes.Replace(d.content, []byte(from), []byte(to), 1)
		d.prove()
	}
	return map[issuance.Code]func(d *draft){
		issuance.ControlInvalid: func(d *draft) { d.ctl = []byte("file=CONTROL_INVALID.csv\nrows=3\n") },
		issuance.Truncated:      func(d *draft) { d.content = d.content[:len(d.content)-60] },
		issuance.ChecksumMismatch: func(d *draft) {
			d.content = bytes.Replace(d.content, []byte("Besançon"), []byte("Besancon"), 1)
		},
		issuance.RowCountMismatch: func(d *draft) { d.control.Rows = 2 },
		issuance.ProductCountMismatch: func(d *draft) {
			d.control.Products = map[string]int64{sample.ProductVisa: 2, sample.ProductMastercard: 1}
		},
		issuance.WrongEnvironment:  func(d *draft) { d.control.Environment = "PRODUCTION" },
		issuance.WrongIssuer:       func(d *draft) { d.control.IssuerID = "OTHERBANK1" },
		issuance.BusinessDateRange: func(d *draft) { d.control.BusinessDate = "2062-12-01" },
		issuance.HeaderInvalid:     func(d *draft) { replace(d, "order_id,card_id,consumer_id", "order_id,kard_id,order_id") },
		issuance.CharsetInvalid:    func(d *draft) { d.layOut(t, orderfile.Format{Charset: orderfile.UTF16}) },
		issuance.CompressionInvalid: func(d *draft) {
			d.content = zipped(t, d.name, d.content)
			d.prove()
		},
		issuance.FileUnreadable: func(d *draft) { replace(d, "order_id", "order\x00id") },
		issuance.FieldCount:     func(d *draft) { replace(d, "card-mistake-000002,c-mistake-000002,", "card-mistake-000002,") },
		issuance.BadQuote:       func(d *draft) { replace(d, "card-mistake-000002", `"card-mistake-000002`) },
		issuance.TooLarge: func(d *draft) {
			for n := len(d.rows) + 1; n <= maxRows+1; n++ {
				d.rows = append(d.rows, order(n))
			}
			d.encode(t)
		},
		issuance.TooManyRejects: func(d *draft) {
			for _, r := range d.rows[:2] {
				r.Delivery = ""
			}
			d.encode(t)
		},
		issuance.EmptyFile: func(d *draft) {
			d.rows = nil
			d.encode(t)
			d.control = nil
		},
	}
}

// zipped packs without compressing, which is the same with every version of Go.
func zipped(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	must(t, err)
	_, err = w.Write(content)
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

// history makes a second file that only what came before makes wrong.
func history(t *testing.T) map[issuance.Code]func(first *draft) *draft {
	t.Helper()
	next := func(change func(rows []*orderfile.Row)) func(*draft) *draft {
		return func(*draft) *draft {
			d := newDraft(t, "cards-2.csv", 11, change)
			d.control.Sequence = 2
			return d
		}
	}
	return map[issuance.Code]func(first *draft) *draft{
		issuance.SequenceRepeated: func(*draft) *draft { return newDraft(t, "cards-2.csv", 11) },
		issuance.SequenceGap: func(*draft) *draft {
			d := newDraft(t, "cards-3.csv", 11)
			d.control.Sequence = 3
			return d
		},
		issuance.DuplicateName: func(first *draft) *draft {
			d := newDraft(t, first.name, 11)
			d.control.Sequence = 2
			return d
		},
		issuance.DuplicateContent: func(*draft) *draft {
			d := newDraft(t, "cards-2.csv", 1)
			d.control.Sequence = 2
			return d
		},
		issuance.OrderConflict:    next(func(rows []*orderfile.Row) { rows[1].OrderID = "mistake-000002" }),
		issuance.OrderRepeated:    next(func(rows []*orderfile.Row) { rows[1] = order(2) }),
		issuance.CardHasOpenOrder: next(func(rows []*orderfile.Row) { rows[1].CardID = "card-mistake-000002" }),
	}
}

// files returns what is written below the folder of mistakes.
func files(t *testing.T, code issuance.Code) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	made := drafts(t, code)
	for i, d := range made {
		name := d.name
		if len(made) > 1 {
			name = fmt.Sprintf("%s/%d/%s", code, i+1, d.name)
		}
		all[name] = d.content
		switch {
		case d.ctl != nil:
			all[name+orderfile.ControlSuffix] = d.ctl
		case d.control != nil:
			ctl, err := orderfile.EncodeControl(*d.control)
			must(t, err)
			all[name+orderfile.ControlSuffix] = ctl
		}
	}
	return all
}

// level is file, row or order.
type level string

// codes returns the codes that a file can show, with their level.
func codes(t *testing.T) map[issuance.Code]level {
	t.Helper()
	b, err := schemas.FS.ReadFile(schemas.RejectCodesV1)
	must(t, err)
	var doc struct {
		Codes []struct {
			Code  issuance.Code
			Level level
		}
	}
	must(t, json.Unmarshal(b, &doc))
	all := map[issuance.Code]level{}
	for _, c := range doc.Codes {
		if c.Level != "order" && c.Level != "change" { // those are about what was taken
			all[c.Code] = c.Level
		}
	}
	return all
}

// TestMistakesAreComplete: there is a sample of every code, and nothing else.
func TestMistakesAreComplete(t *testing.T) {
	want := map[string][]byte{}
	for code := range codes(t) {
		for name, content := range files(t, code) {
			want[name] = content
		}
	}
	if t.Failed() { // a message is not there
		return
	}
	if *update {
		must(t, os.RemoveAll(mistakes))
		for name, content := range want {
			path := filepath.Join(mistakes, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, content, 0o644))
		}
	}
	got := map[string][]byte{}
	must(t, fs.WalkDir(os.DirFS(mistakes), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		got[path], err = os.ReadFile(filepath.Join(mistakes, path))
		return err
	}))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Fatalf("files (rewrite with go test ./samples -update):\n%s", diff)
	}
	for name := range want {
		if !bytes.Equal(want[name], got[name]) {
			t.Errorf("%s is not what the test makes; rewrite it with go test ./samples -update", name)
		}
	}
	readme, err := os.ReadFile("orders/README.md")
	must(t, err)
	explained := slices.Concat(slices.Collect(maps.Keys(history(t))), slices.Collect(maps.Keys(badMessages(sampleKeys(t)))))
	for _, code := range explained {
		if !strings.Contains(string(readme), string(code)) {
			t.Errorf("orders/README.md does not mention %s", code)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
