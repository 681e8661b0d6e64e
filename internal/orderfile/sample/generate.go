// Package sample makes order files of any size for tests, benchmarks, the demo
// and the bank's developers: made-up people, PANs of the products' ranges, and
// on request rows with a known fault.
//
// Everything follows from the seed, so a failure can be repeated. Files are
// streamed: a million rows need no more memory than ten. Names and address
// lines carry the number of their row ("Testowa 000123"), so that a search for
// them anywhere finds only leaks.
package sample

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// Options say what to generate.
type Options struct {
	Rows int    // all rows, bad ones and repeats included
	Seed uint64 // the same options give the same bytes

	BadEvery    int // every n-th row has one fault, of each kind in turn; 0: none
	RepeatEvery int // every n-th row repeats the row before the last one exactly; 0: none
	JWEEvery    int // every n-th row brings a made-up JWE instead of card data, which no D1 can decrypt; 0: none

	NoShipEvery int // every n-th row orders a card that is made and not sent; 0: none

	// Products are what rows order, by id, each row one of them in turn. Nil:
	// those of [Products], at random.
	Products []issuance.Product

	// Format is that of the file; nil: the contract's own.
	Format *orderfile.Format

	Prefix string    // of order_id, card_id and consumer_id; default "ord"
	Now    time.Time // expiries are one to five years ahead of it; required

	// Clear, when set, is called with every clear PAN, name and address line
	// of every row, good or bad.
	Clear func(value string)
}

// File says what was generated.
type File struct {
	Rows     int64
	Size     int64
	SHA256   string                  // hexadecimal
	Bad      map[int64]issuance.Code // by row number, from 1
	Repeats  map[int64]int64         // row number to that of the row it repeats
	Products map[string]int64        // rows of each card_product_id, as a control file states them
}

// Generate writes an order file.
func Generate(w io.Writer, o Options) (File, error) {
	if o.Prefix == "" {
		o.Prefix = "ord"
	}
	sum := sha256.New()
	count := &counter{w: w}
	out := bufio.NewWriterSize(io.MultiWriter(count, sum), 64<<10)
	enc, conform, err := o.encoder(out)
	if err != nil {
		return File{}, err
	}
	g := &generator{o: o, rnd: rand.New(rand.NewPCG(o.Seed, 1))}
	file := File{Bad: map[int64]issuance.Code{}, Repeats: map[int64]int64{}, Products: map[string]int64{}}
	for n := int64(1); n <= int64(o.Rows); n++ {
		row := g.next(n, &file)
		if err := conform(row); err != nil {
			return File{}, err
		}
		file.Rows++
		file.Products[row.CardProductID]++
		if err := enc.Encode(row); err != nil {
			return File{}, err
		}
	}
	if err := enc.Flush(); err != nil {
		return File{}, err
	}
	if err := out.Flush(); err != nil {
		return File{}, fmt.Errorf("write order file: %w", err)
	}
	file.Size, file.SHA256 = count.n, hex.EncodeToString(sum.Sum(nil))
	return file, nil
}

func (o *Options) encoder(w io.Writer) (*orderfile.Encoder, func(*orderfile.Row) error, error) {
	if o.Format == nil {
		enc, err := orderfile.NewEncoder(w)
		return enc, func(*orderfile.Row) error { return nil }, err
	}
	layout, err := orderfile.NewLayout(*o.Format)
	if err != nil {
		return nil, nil, err
	}
	enc, err := orderfile.NewLayoutEncoder(w, layout)
	return enc, Conform(*o.Format), err
}

// country is where the format says that all cards go, "" when rows say it.
func (o *Options) country() string {
	if o.Format == nil {
		return ""
	}
	return o.Format.Constants["delivery_country_code"]
}

// Control returns the control file's content for a generated file.
func (f File) Control(name, issuerID string, sequence int64, businessDate string, createdAt time.Time) issuance.Control {
	return issuance.Control{
		File: name, Rows: f.Rows, SHA256: f.SHA256, IssuerID: issuerID, Environment: "TEST", Sequence: sequence,
		BusinessDate: businessDate, CreatedAt: createdAt.Format(time.RFC3339), Products: f.Products,
	}
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

type generator struct {
	o       Options
	rnd     *rand.Rand
	history [2]*orderfile.Row // the last rows that were good and no repeats, newest first
	numbers [2]int64          // and theirs
	faults  int               // how many were injected
	number  int64             // of the row in the making
}

func (g *generator) next(n int64, file *File) *orderfile.Row {
	every := func(k int) bool { return k > 0 && n%int64(k) == 0 }
	if every(g.o.RepeatEvery) && !every(g.o.BadEvery) && g.history[1] != nil {
		file.Repeats[n] = g.numbers[1]
		return g.history[1]
	}
	g.number = n
	row := g.row(n)
	if len(g.o.Products) > 0 {
		g.fit(row, n, &g.o.Products[int(n)%len(g.o.Products)])
	}
	if country := g.o.country(); country != "" {
		g.move(row, []string{country})
	}
	if every(g.o.NoShipEvery) {
		row.Delivery = issuance.NoShipment
	}
	if every(g.o.JWEEvery) {
		g.useJWE(row)
	}
	if every(g.o.BadEvery) {
		file.Bad[n] = g.damage(row)
	} else {
		g.history = [2]*orderfile.Row{row, g.history[0]}
		g.numbers = [2]int64{n, g.numbers[0]}
	}
	g.tell(row)
	return row
}

func (g *generator) tell(row *orderfile.Row) {
	if g.o.Clear == nil {
		return
	}
	for _, value := range []string{
		row.PAN.Reveal(), row.CardholderName.Reveal(), row.DeliveryLastName.Reveal(), row.DeliveryLine1.Reveal(),
		row.IndividualLastName.Reveal(), row.IndividualLine1.Reveal(),
	} {
		if value != "" {
			g.o.Clear(value)
		}
	}
}

func (g *generator) pick(choices ...string) string { return choices[g.rnd.IntN(len(choices))] }

// place is a made-up place to live.
type place struct{ line1, zip, city, country string }

func places() []place {
	return []place{
		{"Rue du Specimen", "25000", "Besançon", "FR"},
		{"Boulevard du Test", "75099", "Paris", "FR"},
		{"Musterstraße", "50999", "Köln", "DE"},
		{"Prüfallee", "80999", "München", "DE"},
		{"Rue de l'Échantillon", "4999", "Liège", "BE"},
		{"Sample Street", "10099", "New York", "US"},
	}
}

func (g *generator) row(n int64) *orderfile.Row {
	text := cardholder.NewText
	product := g.pick(ProductVisa, ProductMastercard)
	bin := map[string]string{ProductVisa: "411111", ProductMastercard: "555555"}[product]
	home := places()[g.rnd.IntN(len(places()))]
	first := g.pick("Zofia", "Anselm", "Odile", "Bruno", "Wiktoria", "Lucien")
	last := g.pick("Testowa", "Musterfrau", "Specimen", "Sampleton")
	number := fmt.Sprintf("%06d", n)
	row := &orderfile.Row{
		OrderID: g.o.Prefix + "-" + number, CardID: "card-" + g.o.Prefix + "-" + number, ConsumerID: "c-" + g.o.Prefix + "-" + number,
		CardProductID: product,
		Issuance:      g.pick(issuance.Creation, issuance.Creation, issuance.Renewal, issuance.Renewal, issuance.Replacement),
		Priority:      g.pick("", "", "STANDARD", "URGENT"),
		Delivery:      g.pick("laposte-cip", "usps-imb"),
		PINMailer:     g.pick("", "false", "true"),
		PAN:           cardholder.NewPAN(cardholder.WithCheckDigit(bin + fmt.Sprintf("%09d", (int64(g.o.Seed%97)*10_000_000+n)%1_000_000_000))),
		Expiry:        text(g.o.Now.AddDate(1+g.rnd.IntN(4), g.rnd.IntN(12), 0).Format("0601")),

		CardholderName:      text(upper(first) + " " + upper(last) + " " + letters(n)),
		CarrierLanguage:     g.pick("", "fr", "de", "en"),
		DeliveryFirstName:   text(first),
		DeliveryLastName:    text(last + " " + number),
		DeliveryLine1:       text(fmt.Sprintf("%d %s %s", 1+g.rnd.IntN(99), home.line1, number)),
		DeliveryCity:        text(home.city),
		DeliveryZipCode:     text(home.zip),
		DeliveryCountryCode: home.country,
	}
	if g.rnd.IntN(10) == 0 {
		row.PackagingInserts = "welcome-letter|terms-and-conditions-v3"
	}
	if g.rnd.IntN(20) == 0 {
		row.ShipmentType, row.GroupID, row.DispatchID = "BULK", fmt.Sprintf("branch-%03d", g.rnd.IntN(100)), "dispatch-"+g.o.Now.Format(time.DateOnly)
	}
	if g.rnd.IntN(20) == 0 {
		row.IndividualFirstName, row.IndividualLastName = row.DeliveryFirstName, row.DeliveryLastName
		row.IndividualLine1 = text("Counter, " + row.DeliveryLine1.Reveal())
		row.IndividualCity, row.IndividualZipCode = row.DeliveryCity, row.DeliveryZipCode
		row.IndividualCountryCode = row.DeliveryCountryCode
	}
	return row
}

// upper works for the plain first and last names above.
func upper(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// letters writes a number in letters, because digits cannot be embossed.
func letters(n int64) string {
	b := []byte("AAAAA")
	for i := len(b) - 1; i >= 0 && n > 0; i-- {
		b[i] = byte('A' + n%26)
		n /= 26
	}
	return string(b)
}
