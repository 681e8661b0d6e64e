package sample

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/validate"
)

func now() time.Time { return time.Date(2030, 3, 1, 22, 0, 0, 0, time.UTC) }

func everything() Options {
	return Options{Rows: 2000, Seed: 7, BadEvery: 13, RepeatEvery: 17, JWEEvery: 9, Now: now()}
}

// TestGeneratedFileIsWhatItSays validates a generated file and compares the
// outcome with what the generator says it injected.
func TestGeneratedFileIsWhatItSays(t *testing.T) {
	var b bytes.Buffer
	clear := map[string]bool{}
	o := everything()
	o.Clear = func(v string) { clear[v] = true }
	file, err := Generate(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(b.Bytes()); file.SHA256 != hex.EncodeToString(sum[:]) || file.Size != int64(b.Len()) {
		t.Error("checksum or size is wrong")
	}
	v := validate.New(validate.Rules{Products: Products(), Now: now(), JWEKids: []string{Kid}})
	d, err := orderfile.NewDecoder(&b, orderfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bad, seen, products := map[int64]issuance.Code{}, map[string]int64{}, map[string]int64{}
	repeats := map[int64]int64{}
	jwes := 0
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		products[rec.Row.CardProductID]++
		in, errs := v.Check(rec)
		if len(errs) > 0 {
			bad[rec.RowNo] = errs[0].Code
			continue
		}
		if in.Card == nil {
			jwes++
		} else if !clear[in.Card.PAN.Reveal()] || !clear[in.Card.Name.Reveal()] {
			t.Errorf("row %d: card data was not told", rec.RowNo)
		}
		if !clear[in.IndividualAddress.Line1.Reveal()] || !clear[in.DeliveryAddress.LastName.Reveal()] {
			t.Errorf("row %d: an address was not told", rec.RowNo)
		}
		if first, ok := seen[in.OrderID]; ok {
			repeats[rec.RowNo] = first
		}
		seen[in.OrderID] = rec.RowNo
	}
	if diff := cmp.Diff(file.Bad, bad); diff != "" {
		t.Errorf("bad rows (-said +found):\n%s", diff)
	}
	if diff := cmp.Diff(file.Repeats, repeats); diff != "" {
		t.Errorf("repeats (-said +found):\n%s", diff)
	}
	if diff := cmp.Diff(file.Products, products); diff != "" {
		t.Errorf("products (-said +found):\n%s", diff)
	}
	codes := map[issuance.Code]bool{}
	for _, c := range bad {
		codes[c] = true
	}
	if len(codes) < 8 || len(repeats) == 0 || jwes == 0 {
		t.Errorf("%d codes, %d repeats, %d JWEs", len(codes), len(repeats), jwes)
	}
}

// TestProductsOfTheConfiguration: rows for products of any kind are right for them.
func TestProductsOfTheConfiguration(t *testing.T) {
	plain := issuance.Product{ID: "PLAIN", BINRanges: []issuance.BINRange{{Low: "400000000000", High: "400000000001", Length: 19}},
		Deliveries: []string{"NO_SHIPMENT"}, Countries: []string{"PT"}, ValidityYears: 2}
	far := issuance.Product{ID: "FAR", BINRanges: []issuance.BINRange{{Low: "222100", High: "222100", Length: 12}},
		Deliveries: []string{"dhl"}, Priorities: []string{"RUSH"}, Countries: []string{"HK"}}
	o := Options{Rows: 500, Seed: 3, Now: now(), Products: []issuance.Product{plain, far, Products()[ProductVisa]}}
	rules := validate.Rules{Now: now(), Products: map[string]issuance.Product{}}
	for _, p := range o.Products {
		if err := Fits(&p); err != nil {
			t.Errorf("%s: %v", p.ID, err)
		}
		rules.Products[p.ID] = p
	}
	var b bytes.Buffer
	file, err := Generate(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Products) != 3 {
		t.Errorf("rows by product: %v", file.Products)
	}
	d, err := orderfile.NewDecoder(&b, orderfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, pans := validate.New(rules), map[string]bool{}
	for rec, err := d.Next(); !errors.Is(err, io.EOF); rec, err = d.Next() {
		if err != nil {
			t.Fatal(err)
		}
		if _, errs := v.Check(rec); len(errs) > 0 {
			t.Fatalf("row %d: %+v", rec.RowNo, errs)
		}
		pans[rec.Row.PAN.Reveal()] = true
	}
	if len(pans) != o.Rows {
		t.Errorf("%d PANs in %d rows", len(pans), o.Rows)
	}
	if Fits(&issuance.Product{}) == nil {
		t.Error("a product without BIN ranges fits")
	}
}

func TestGenerateIsRepeatable(t *testing.T) {
	var a, b, c bytes.Buffer
	other := everything()
	other.Seed++
	for w, o := range map[*bytes.Buffer]Options{&a: everything(), &b: everything(), &c: other} {
		if _, err := Generate(w, o); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) || bytes.Equal(a.Bytes(), c.Bytes()) {
		t.Error("the bytes do not follow from the seed")
	}
}

func TestControl(t *testing.T) {
	file, err := Generate(io.Discard, Options{Rows: 10, Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	c := file.Control("cards.csv", "DEMO_BANK1", 3, "2030-03-01", now())
	b, err := orderfile.EncodeControl(c)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := orderfile.ParseControl(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, parsed); diff != "" {
		t.Error(diff)
	}
}

func TestGenerateReportsWriteErrors(t *testing.T) {
	if _, err := Generate(brokenWriter{}, Options{Rows: 10, Now: now()}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestClearValuesAreDistinctive guards the search for leaks against values
// that might be found by chance.
func TestClearValuesAreDistinctive(t *testing.T) {
	var values []string
	_, err := Generate(io.Discard, Options{Rows: 500, Now: now(), Clear: func(v string) { values = append(values, v) }})
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(values, func(v string) bool { return len(v) < 12 }); i >= 0 {
		t.Errorf("clear value %d is too short to search for", i)
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Generate(io.Discard, Options{Rows: 1000, BadEvery: 50, Now: now()}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestConstantCountry: where the format says where all cards go, postal codes
// are of that country.
func TestConstantCountry(t *testing.T) {
	columns := map[string]string{}
	for _, name := range orderfile.Schema().Names() {
		if name != "delivery_country_code" {
			columns[name] = name
		}
	}
	for _, country := range []string{"DE", "US"} {
		format := orderfile.Format{Columns: columns, Constants: map[string]string{"delivery_country_code": country}}
		layout, err := orderfile.NewLayout(format)
		if err != nil {
			t.Fatal(err)
		}
		for _, products := range [][]issuance.Product{nil, {Products()[ProductVisa], Products()[ProductMastercard]}} {
			var b bytes.Buffer
			if _, err := Generate(&b, Options{Rows: 100, Seed: 5, Now: now(), Products: products, Format: &format}); err != nil {
				t.Fatal(err)
			}
			d, err := orderfile.NewDecoder(&b, orderfile.Options{Layout: layout})
			if err != nil {
				t.Fatal(err)
			}
			v := validate.New(validate.Rules{Now: now(), Products: Products()})
			for rec, err := d.Next(); !errors.Is(err, io.EOF); rec, err = d.Next() {
				if err != nil {
					t.Fatal(err)
				}
				if _, errs := v.Check(rec); len(errs) > 0 {
					t.Fatalf("%s, row %d: %+v", country, rec.RowNo, errs)
				}
			}
		}
	}
}

func TestCardsThatAreNotSent(t *testing.T) {
	var b bytes.Buffer
	if _, err := Generate(&b, Options{Rows: 12, NoShipEvery: 5, Now: now()}); err != nil {
		t.Fatal(err)
	}
	d, err := orderfile.NewDecoder(&b, orderfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if (rec.Row.Delivery == issuance.NoShipment) != (rec.RowNo%5 == 0) {
			t.Errorf("row %d: %s", rec.RowNo, rec.Row.Delivery)
		}
	}
}
