package orderfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
)

// bankColumns are the columns of a made-up bank, in its words.
func bankColumns() map[string]string {
	return map[string]string{
		"order_id": "Auftrag", "card_id": "Karte", "consumer_id": "Kunde", "card_product_id": "Produkt",
		"issuance": "Art", "pan": "Kartennummer", "expiry": "Gültig bis", "cardholder_name": "Prägename", "priority": "priority",
		"delivery_last_name": "Name", "delivery_line1": "Straße", "delivery_city": "Ort", "delivery_zip_code": "PLZ",
		"delivery_country_code": "Land",
	}
}

func bank() Format {
	return Format{
		Delimiter: ";", Charset: Windows1252, Columns: bankColumns(),
		Constants: map[string]string{"delivery": "laposte-cip", "packaging": "standard-envelope"},
		Values: map[string]map[string]string{
			"issuance":        {"N": "CREATION", "R": "RENEWAL"},
			"card_product_id": {"4711": "VISA_DEBIT_STD"},
			"priority":        {"": "STANDARD"},
		},
	}
}

func layoutOf(tb testing.TB, f Format) *Layout {
	tb.Helper()
	l, err := NewLayout(f)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func bankRow() *Row {
	text := cardholder.NewText
	return &Row{
		OrderID: "A-1", CardID: "K-1", ConsumerID: "C-1", CardProductID: "VISA_DEBIT_STD", Issuance: "CREATION", Priority: "STANDARD",
		Delivery: "laposte-cip", Packaging: "standard-envelope",
		PAN: cardholder.NewPAN("4111110000000187"), Expiry: text("3112"), CardholderName: text("ZOFIA TESTOWA"),
		DeliveryLastName: text("Müller; \"Söhne\" €"), DeliveryLine1: text("1,\nrue de l'Œuvre"), DeliveryCity: text("Besançon"),
		DeliveryZipCode: text("25000"), DeliveryCountryCode: "FR",
	}
}

func encodedAs(tb testing.TB, l *Layout, rows ...*Row) []byte {
	tb.Helper()
	var b bytes.Buffer
	e, err := NewLayoutEncoder(&b, l)
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			tb.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestBankFile reads a file as a bank would write it, byte by byte.
func TestBankFile(t *testing.T) {
	file := "Produkt;Auftrag;Art;Karte;Kunde;Kartennummer;G\xFCltig bis;Pr\xE4gename;priority;Name;Stra\xDFe;Ort;PLZ;Land\r\n" +
		"4711;A-1;N;K-1;C-1;4111110000000187;3112;ZOFIA TESTOWA;;\"M\xFCller; \"\"S\xF6hne\"\" \x80\";\"1,\r\nrue de l'\x8Cuvre\";Besan\xE7on;25000;FR\r\n"
	recs, _ := decode(t, strings.NewReader(file), Options{Layout: layoutOf(t, bank())})
	if len(recs) != 1 || recs[0].Err != nil {
		t.Fatalf("%d rows, error %v", len(recs), recs[0].Err)
	}
	if diff := cmp.Diff(bankRow().AppendValues(nil), recs[0].Row.AppendValues(nil)); diff != "" {
		t.Error(diff)
	}
}

// TestSameOrderInAnyFormat: the cells, and so the digest of an order's content,
// do not depend on the format the order came in.
func TestSameOrderInAnyFormat(t *testing.T) {
	mac := cardholder.NewFingerprinter(make([]byte, 32))
	want := mac.Content(bankRow().AppendValues(nil)...)
	formats := map[string]Format{"contract": {}, "bank": bank()}
	for _, c := range Charsets() {
		for _, d := range []string{",", ";", "\t", "|", "\x1f"} {
			if c == ISO88591 { // has no euro sign
				continue
			}
			formats[fmt.Sprintf("%s %q", c, d)] = Format{Charset: c, Delimiter: d}
		}
	}
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			l := layoutOf(t, f)
			row := bankRow()
			if f.Charset == ISO885915 || f.Charset == UTF16 {
				row.CardImage = "€ŠšŽžŒœŸ"
			}
			recs, _ := decode(t, bytes.NewReader(encodedAs(t, l, row)), Options{Layout: l})
			if recs[0].Err != nil {
				t.Fatal(recs[0].Err)
			}
			got := recs[0].Row
			if got.CardImage != row.CardImage {
				t.Errorf("card_image %q", got.CardImage)
			}
			got.CardImage = ""
			if !bytes.Equal(want, mac.Content(got.AppendValues(nil)...)) {
				t.Error("the digest differs")
			}
		})
	}
}

func TestFormatMistakes(t *testing.T) {
	with := func(change func(*Format)) Format {
		f := bank()
		f.Columns = maps.Clone(f.Columns)
		change(&f)
		return f
	}
	tests := []struct {
		name   string
		format Format
		want   []string
	}{
		{"two characters", Format{Delimiter: ";;"}, []string{`delimiter: ";;" is not one ASCII character`}},
		{"letter", Format{Delimiter: "x"}, []string{"delimiter:"}},
		{"quote", Format{Delimiter: `"`}, []string{"delimiter:"}},
		{"line end", Format{Delimiter: "\n"}, []string{"delimiter:"}},
		{"not ASCII", Format{Delimiter: "§"}, []string{"delimiter:"}},
		{"charset", Format{Charset: "ebcdic"}, []string{`charset: "ebcdic" is not one of utf-8, utf-16, iso-8859-1, iso-8859-15, windows-1252`}},
		{"unknown column", with(func(f *Format) { f.Columns["Order_Id"] = "x" }), []string{"columns.Order_Id: is not a column", "did you mean order_id?"}},
		{"two from one", with(func(f *Format) { f.Columns["card_id"] = "Auftrag" }), []string{`columns.order_id: column "Auftrag" is already the source of card_id`}},
		{"required", with(func(f *Format) { delete(f.Columns, "issuance"); delete(f.Values, "issuance") }), []string{"columns: issuance is required"}},
		{"card data", with(func(f *Format) { delete(f.Columns, "expiry") }), []string{"columns: expiry is required as long as"}},
		{"no name", with(func(f *Format) { delete(f.Columns, "delivery_last_name") }), []string{"columns: an address needs a name"}},
		{"nothing at all", Format{Columns: map[string]string{}}, []string{"columns: order_id is required"}},
		{"empty name", with(func(f *Format) { f.Columns["priority"] = "" }), []string{"columns.priority: names no column"}},
		{"line break in a name", with(func(f *Format) { f.Columns["priority"] = "a\nb" }), []string{"columns.priority: is not the name"}},
		{"name of another charset", with(func(f *Format) { f.Columns["priority"] = "Priorität Ω" }), []string{`columns.priority: "Priorität Ω" has a character`}},
		{"value of another charset", with(func(f *Format) { f.Values["issuance"]["Ω"] = "CREATION" }), []string{`values.issuance.Ω: "Ω" has a character`}},
		{"constant and column", with(func(f *Format) { f.Constants["issuance"] = "CREATION" }), []string{"constants.issuance: is a column of the file already"}},
		{"constant of an unknown column", Format{Constants: map[string]string{"x": "y"}}, []string{"constants.x: is not a column"}},
		{"constant that no row may have", Format{Constants: map[string]string{"issuance": "N"}}, []string{"constants.issuance: must be"}},
		{"empty constant", Format{Constants: map[string]string{"priority": ""}}, []string{"constants.priority: is empty"}},
		{"constant PAN", Format{Constants: map[string]string{"pan": "4111110000000187"}}, []string{"constants.pan: cannot be the same"}},
		{"values of an unknown column", Format{Values: map[string]map[string]string{"x": {"a": "b"}}}, []string{"values.x: is not a column"}},
		{"values that are none", Format{Values: map[string]map[string]string{"issuance": {}}}, []string{"values.issuance: translates no value"}},
		{"values of a constant", with(func(f *Format) { f.Values["delivery"] = map[string]string{"a": "b"} }), []string{"values.delivery: is a constant"}},
		{"values of no column", with(func(f *Format) { f.Values["pin_mailer"] = map[string]string{"J": "true"} }), []string{"values.pin_mailer: is not among columns"}},
		{"value that no row may have", Format{Values: map[string]map[string]string{"issuance": {"N": "NEW"}}}, []string{`values.issuance.N: "NEW" must be`}},
		{"translated order_id", Format{Values: map[string]map[string]string{"order_id": {"a": "b"}}}, []string{"values.order_id: has values of its own"}},
		{"delivery by default", Format{Values: map[string]map[string]string{"delivery": {"": "NO_SHIPMENT"}}}, []string{"values.delivery.: delivery must be said"}},
		{"several", Format{Delimiter: "ab", Charset: "x", Constants: map[string]string{"x": "y"}}, []string{"charset:", "delimiter:", "constants.x:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewLayout(tt.format)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), "format: "+want) && !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// TestHeaderInTheBanksWords: whoever writes the export never has to know our names.
func TestHeaderInTheBanksWords(t *testing.T) {
	header := "Auftrag;Karte;Kunde;Produkt;Art;Kartennummer;G\xFCltig bis;Pr\xE4gename;priority;Name;Stra\xDFe;Ort;PLZ;Land\n"
	edit := func(old, new string) string { return strings.Replace(header, old, new, 1) }
	any := bank()
	any.ExtraColumns, any.AbsentColumns = true, true
	tests := []struct {
		name   string
		format Format
		file   string
		want   []string // parts of the error; none: no error
	}{
		{"as agreed", bank(), header, nil},
		{"other order", bank(), edit("Auftrag;Karte", "Karte;Auftrag"), nil},
		{"missing", bank(), edit("Kunde;", ""), []string{"column Kunde (consumer_id) is missing"}},
		{"optional missing", bank(), edit("priority;", ""), []string{"column priority is missing"}},
		{"repeated", bank(), edit("Kunde", "Kunde;Kunde"), []string{"column Kunde (consumer_id) is there again at position 4"}},
		{"unknown", bank(), edit("Kunde", "Kunde;Filiale"), []string{`column "Filiale" at position 4 is not known`}},
		{"our name", bank(), edit("Kunde", "consumer_id"), []string{`"consumer_id" at position 3`, "column Kunde (consumer_id) is missing"}},
		{"letter case", bank(), edit("Kunde", "KUNDE"), []string{"must be written exactly: Kunde"}},
		{"commas", bank(), strings.ReplaceAll(header, ";", ","), []string{"separated by commas, but semicolons are agreed"}},
		{"a constant as column", bank(), edit("Kunde", "Kunde;delivery"), []string{`column "delivery" at position 4 is not known`}},
		{"optional may be missing", any, edit("priority;", ""), nil},
		{"required may not", any, edit("Kunde;", ""), []string{"column Kunde (consumer_id) is missing"}},
		{"others may be there", any, edit("Kunde", "Filiale;Kunde;;Filiale"), nil},
		{"misspelt is not other", any, edit("priority", "PRIORITY"), []string{`"PRIORITY" at position 9`, "column priority is missing"}},
		{"wrong byte", bank(), edit("Kunde", "Kun\x81de"), []string{"the byte at offset 17, 0x81, is not a character of windows-1252"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewDecoder(strings.NewReader(tt.file), Options{Layout: layoutOf(t, tt.format)})
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// TestExtraAndAbsentColumns: what is ignored reaches no row, what is absent is empty.
func TestExtraAndAbsentColumns(t *testing.T) {
	l := layoutOf(t, Format{AbsentColumns: true, ExtraColumns: true})
	var names []string
	for _, f := range Schema().Fields {
		if f.Required {
			names = append(names, f.Name)
		}
	}
	names = append([]string{"Branch"}, append(names, "-", "")...)
	cells := slices.Clone(names)
	recs, _ := decode(t, strings.NewReader(strings.Join(names, ",")+"\n"+strings.Join(cells, ",")+"\n"), Options{Layout: l})
	if len(recs) != 1 || recs[0].Err != nil {
		t.Fatalf("%d rows, %v", len(recs), recs[0].Err)
	}
	for i, v := range recs[0].Row.AppendValues(nil) {
		want := ""
		if Schema().Fields[i].Required {
			want = Schema().Fields[i].Name
		}
		if v != want {
			t.Errorf("%s is %q", Schema().Fields[i].Name, v)
		}
	}
}

func TestBadRowsOfAFormat(t *testing.T) {
	header := "Auftrag;Karte;Kunde;Produkt;Art;Kartennummer;G\xFCltig bis;Pr\xE4gename;priority;Name;Stra\xDFe;Ort;PLZ;Land\n"
	good := "A-1;K;C;4711;N;4;1;A;;M\xFCller;1;Ort;2;FR\n"
	file := header + good + strings.Replace(good, "\xFC", "\x81", 1) + "A-3;short\n" + strings.Replace(good, "M\xFC", "\"M\x90", 1) + good
	recs, _ := decode(t, strings.NewReader(file), Options{Layout: layoutOf(t, bank())})
	want := []found{{1, 2, "A-1", ""}, {2, 3, "A-1", issuance.FormatInvalid}, {3, 4, "A-3", issuance.FieldCount},
		{4, 5, "A-1", issuance.BadQuote}, {5, 6, "A-1", ""}}
	if diff := cmp.Diff(want, findings(recs)); diff != "" {
		t.Fatal(diff)
	}
	offset := strings.Index(file, "\x81")
	if text, want := recs[1].Err.Text, fmt.Sprintf("Name: the byte at offset %d, 0x81, is not a character of windows-1252", offset); text != want {
		t.Errorf("text %q, want %q", text, want)
	}
}

// TestWrongBytesHaveTheirOffset, in every charset.
func TestWrongBytesHaveTheirOffset(t *testing.T) {
	for charset, wrong := range map[Charset][]byte{
		UTF8: {0xE9}, Windows1252: {0x81, 0x8D, 0x8F, 0x90, 0x9D}, ISO88591: {0x80, 0x85, 0x9F}, ISO885915: {0x92},
	} {
		for _, b := range wrong {
			file := header() + line("one") + line("two", "x"+string([]byte{b})+"y") + line("three")
			recs, _ := decode(t, strings.NewReader(file), Options{Layout: layoutOf(t, Format{Charset: charset})})
			if len(recs) != 3 || recs[0].Err != nil || recs[2].Err != nil {
				t.Fatalf("%s: the wrong byte touches other rows", charset)
			}
			e := recs[1].Err
			if e == nil || e.Code != issuance.FormatInvalid ||
				!strings.Contains(e.Text, fmt.Sprintf("card_id: the byte at offset %d", strings.IndexByte(file, b))) {
				t.Errorf("%s: %v", charset, e)
			}
		}
	}
}

// TestUTF8UnderAnotherName: no byte is wrong, every name would be.
func TestUTF8UnderAnotherName(t *testing.T) {
	for _, charset := range []Charset{Windows1252, ISO88591, ISO885915} {
		l := layoutOf(t, Format{Charset: charset})
		for text, bad := range map[string]bool{
			"Besan\xC3\xA7on": true, "M\xC3\xBCller \xE2\x82\xAC": true, "\xC3\xA9": true,
			"JO\xC3O": false, "\xC3": false, "IRM\xC3 \xA9": false, "Gro\xDF\x96Gerau": charset != Windows1252, "M\xFCller \xC3\xA9": false,
		} {
			recs, _ := decode(t, strings.NewReader(header()+line("one", text)+line("two")), Options{Layout: l})
			if (recs[0].Err != nil) != bad {
				t.Errorf("%s: % X: error %v", charset, text, recs[0].Err)
			}
			if bad && !strings.Contains(recs[0].Err.Text, "UTF-8") {
				t.Errorf("%s: % X: text %q", charset, text, recs[0].Err.Text)
			}
			if recs[1].Err != nil {
				t.Errorf("%s: the next row: %v", charset, recs[1].Err)
			}
		}
	}
}

// TestCharsets checks every byte against the tables as they are published.
func TestCharsets(t *testing.T) {
	for charset, probes := range map[Charset]string{
		ISO88591:    "\xA4¤\xA6¦\xBC¼\xE9é\xFFÿ\xA0\u00A0",
		ISO885915:   "\xA4€\xA6Š\xA8š\xB4Ž\xB8ž\xBCŒ\xBDœ\xBEŸ\xE9é",
		Windows1252: "\x80€\x8AŠ\x8CŒ\x8EŽ\x92’\x9Cœ\x9FŸ\xE9é\xFFÿ",
	} {
		table := newByteTable(charset)
		for rest := probes; rest != ""; {
			b := rest[0]
			r := []rune(rest[1:])[0]
			got, wrong := table.decode(nil, []byte{b})
			if string(got) != string(r) || wrong >= 0 {
				t.Errorf("%s: 0x%02X is %q, want %q", charset, b, got, r)
			}
			back, err := table.encode(nil, string(r))
			if err != nil || !bytes.Equal(back, []byte{b}) {
				t.Errorf("%s: %q is % X, want %02X: %v", charset, r, back, b, err)
			}
			rest = rest[1+len(string(r)):]
		}
		defined := 0
		for b := range 256 {
			if _, wrong := table.decode(nil, []byte{byte(b)}); wrong < 0 {
				defined++
			}
		}
		if want := map[Charset]int{ISO88591: 224, ISO885915: 224, Windows1252: 251}[charset]; defined != want {
			t.Errorf("%s has %d characters, want %d", charset, defined, want)
		}
	}
}

func utf16File(text string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune("\uFEFF" + text)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

func TestUTF16(t *testing.T) {
	l := layoutOf(t, Format{Charset: UTF16})
	text := header() + line("one", "漢🂡") + strings.Repeat(line("more", "\"a\r\nb\""), 200)
	for _, big := range []bool{false, true} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "data+EOF": iotest.DataErrReader,
		} {
			recs, _ := decode(t, wrap(bytes.NewReader(utf16File(text, big))), Options{Layout: l})
			if len(recs) != 201 || recs[0].Row.CardID != "漢🂡" || recs[200].Line != 3+2*199 || recs[200].Row.CardID != "a\nb" {
				t.Errorf("%s, big endian %v: %d rows", name, big, len(recs))
			}
		}
	}
	broken := utf16File(text, false)
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"cut inside a character": {broken[:len(broken)-1], fmt.Sprintf("half of a character at the end of the file at byte %d", len(broken)-2)},
		"cut inside a pair":      {append(utf16File("x", false), 0x3C, 0xD8), "half of a surrogate pair at byte 4"},
		"low half alone":         {append(utf16File("x", true), 0xDC, 0x00, 0, 'x'), "half of a surrogate pair at byte 4"},
		"high half alone":        {append(utf16File("x", true), 0xD8, 0x00, 0, 'x'), "half of a surrogate pair at byte 4"},
	} {
		d, err := NewDecoder(bytes.NewReader(tt.file), Options{Layout: l})
		for err == nil {
			_, err = d.Next()
		}
		var fe *issuance.FileError
		if !errors.As(err, &fe) || fe.Code != issuance.CharsetInvalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := NewDecoder(stuckReader{}, Options{Layout: l}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
	lost := errors.New("connection lost")
	r := io.MultiReader(bytes.NewReader(broken[:1001]), iotest.ErrReader(lost))
	d, err := NewDecoder(r, Options{Layout: l})
	for err == nil {
		_, err = d.Next()
	}
	if !errors.Is(err, lost) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// TestAnotherFileThanAgreed: the mark of a file says what it is.
func TestAnotherFileThanAgreed(t *testing.T) {
	files := map[string][]byte{
		"utf-8": []byte("\xEF\xBB\xBF" + header()), "utf-16": utf16File(header(), false), "utf-16 reversed": utf16File(header(), true),
		"gzip": []byte("\x1F\x8B\x08\x00"), "zip": []byte("PK\x03\x04"), "plain": []byte(header()),
	}
	for _, agreed := range Charsets() {
		for is, file := range files {
			_, err := NewDecoder(bytes.NewReader(file), Options{Layout: layoutOf(t, Format{Charset: agreed})})
			var want issuance.Code
			switch {
			case is == "gzip" || is == "zip":
				want = issuance.CompressionInvalid
			case is == "plain" && agreed == UTF16, is != "plain" && !strings.HasPrefix(is, string(agreed)):
				want = issuance.CharsetInvalid
			}
			var fe *FormatError
			switch {
			case want == "" && err != nil:
				t.Errorf("%s agreed, is %s: %v", agreed, is, err)
			case want != "" && (!errors.As(err, &fe) || fe.Code != want):
				t.Errorf("%s agreed, is %s: error %v, want %s", agreed, is, err, want)
			}
		}
	}
}

// TestLineEnds: LF, CRLF and CR give the same rows on the same lines.
func TestLineEnds(t *testing.T) {
	text := header() + line("one", "\"a\nb\"") + "\n" + line("two") + "short\n" + line("three")
	want, _ := decode(t, strings.NewReader(text), Options{})
	for _, eol := range []string{"\n", "\r\n", "\r"} {
		for _, cut := range []string{"", "last line end"} {
			file := strings.ReplaceAll(text, "\n", eol)
			if cut != "" {
				file = strings.TrimSuffix(file, eol)
			}
			for name, wrap := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "half": iotest.HalfReader,
			} {
				recs, d := decode(t, wrap(strings.NewReader(file)), Options{})
				if diff := cmp.Diff(findings(want), findings(recs)); diff != "" || d.EndedInsideRow() {
					t.Errorf("%q %s %s: %s", eol, cut, name, diff)
				}
				if got := recs[0].Row.CardID; got != "a\nb" {
					t.Errorf("%q %s %s: card_id %q", eol, cut, name, got)
				}
			}
		}
	}
}

// TestCRFileKeepsOffsets: a wrong byte is where it is in the file, also after CRLF inside a value.
func TestCRFileKeepsOffsets(t *testing.T) {
	text := header() + line("one", "\"a\r\nb\"") + line("two", "x\xE9")
	file := strings.ReplaceAll(strings.ReplaceAll(text, "\n", "\r"), "\r\r", "\r\n")
	recs, _ := decode(t, strings.NewReader(file), Options{})
	if len(recs) != 2 || recs[0].Row.CardID != "a\nb" || recs[1].Line != 4 {
		t.Fatalf("%d rows, card_id %q", len(recs), recs[0].Row.CardID)
	}
	if e := recs[1].Err; e == nil || !strings.Contains(e.Text, fmt.Sprintf("offset %d ", strings.IndexByte(file, 0xE9))) {
		t.Errorf("error %v", e)
	}
}

// TestExplain: an error names the column in the words of whoever wrote the file.
func TestExplain(t *testing.T) {
	found := []issuance.RowError{
		{Column: "consumer_id", Text: "wrong"}, {Column: "issuance", Text: "wrong"}, {Column: "delivery", Text: "wrong"},
		{Column: "priority", Text: "wrong"}, {Column: "", Text: "wrong"},
	}
	layoutOf(t, bank()).Explain(found)
	var texts []string
	for _, e := range found {
		texts = append(texts, e.Text)
	}
	want := []string{"wrong (the file's column Kunde)", "wrong (the file's column Art, whose values are translated)",
		"wrong (a constant of the source's format)", "wrong (its values are translated)", "wrong"}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
	var none *Layout
	none.Explain(found) // the contract's own names need no explanation
}

// TestEncoderRefusesWhatItCannotSay rather than writing another order.
func TestEncoderRefusesWhatItCannotSay(t *testing.T) {
	for name, change := range map[string]func(*Row){
		"another constant":               func(r *Row) { r.Delivery = "usps-imb" },
		"a column that does not exist":   func(r *Row) { r.CardImage = "x" },
		"a value with another meaning":   func(r *Row) { r.Issuance = "N" },
		"a value that only empty means":  func(r *Row) { r.Priority = "" },
		"a character of another charset": func(r *Row) { r.DeliveryCity = cardholder.NewText("漢") },
		"a byte the charset has not":     func(r *Row) { r.DeliveryCity = cardholder.NewText("\u0081") },
		"a text that would be taken for UTF-8": func(r *Row) {
			r.DeliveryLastName, r.DeliveryLine1, r.DeliveryCity = cardholder.Text{}, cardholder.Text{}, cardholder.NewText("BesanÃ§on")
		},
		"a value that is not text at all ": func(r *Row) { r.DeliveryCity = cardholder.NewText("\xFF") },
	} {
		e, err := NewLayoutEncoder(io.Discard, layoutOf(t, bank()))
		if err != nil {
			t.Fatal(err)
		}
		row := bankRow()
		change(row)
		if err := e.Encode(row); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// drawFormat draws a format that is right.
func drawFormat(t *rapid.T) Format {
	f := Format{
		Delimiter:     rapid.SampledFrom([]string{"", ",", ";", "\t", "|", "^", "\x1e"}).Draw(t, "delimiter"),
		Charset:       rapid.SampledFrom(append(Charsets(), "")).Draw(t, "charset"),
		AbsentColumns: rapid.Bool().Draw(t, "absent"), ExtraColumns: rapid.Bool().Draw(t, "extra"),
	}
	if rapid.Bool().Draw(t, "names of its own") {
		f.Columns = map[string]string{}
		for i, name := range Schema().Names() {
			f.Columns[name] = fmt.Sprintf("%s %d", rapid.SampledFrom([]string{"Spalte", "a;b", `x"y`, "c,d"}).Draw(t, "name"), i)
		}
	}
	if rapid.Bool().Draw(t, "constants") {
		f.Constants = map[string]string{"delivery": "usps-imb", "delivery_country_code": "FR"}
		delete(f.Columns, "delivery")
		delete(f.Columns, "delivery_country_code")
	}
	if rapid.Bool().Draw(t, "values") {
		f.Values = map[string]map[string]string{"issuance": {"N": "CREATION", "n": "CREATION", "CREATION": "RENEWAL"}, "priority": {"": "STANDARD", "1": ""}}
	}
	return f
}

// TestEncodeDecodeFormat: in any format, what can be written is what is read.
func TestEncodeDecodeFormat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFormat(t)
		l, err := NewLayout(f)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		e, err := NewLayoutEncoder(&b, l)
		if err != nil {
			t.Fatal(err)
		}
		var want [][]string
		for range rapid.IntRange(0, 3).Draw(t, "rows") {
			cells := rapid.SliceOfN(cell(), columns, columns).Draw(t, "cells")
			for name, v := range f.Constants {
				cells[Schema().Index(name)] = v
			}
			cells[Schema().Index("issuance")] = rapid.SampledFrom([]string{"CREATION", "RENEWAL", "N", ""}).Draw(t, "issuance")
			if e.Encode(rowOf(cells)) == nil {
				want = append(want, cells)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		d, err := NewDecoder(&b, Options{Layout: l})
		if err != nil {
			t.Fatal(err)
		}
		for i, cells := range want {
			rec, err := d.Next()
			if err != nil || rec.Err != nil {
				t.Fatalf("row %d: %v %v", i+1, rec.Err, err)
			}
			if diff := cmp.Diff(cells, rec.Row.AppendValues(nil)); diff != "" {
				t.Fatal(diff)
			}
		}
		if _, err := d.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last row: %v", err)
		}
	})
}
