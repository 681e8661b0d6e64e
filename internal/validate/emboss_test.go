package validate

import (
	"os"
	"strings"
	"testing"

	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

func TestTransliteration(t *testing.T) {
	tests := map[string]string{
		"ZOFIA TESTOWA":         "ZOFIA TESTOWA",
		"JÜRGEN GROẞ":           "JUERGEN GROSS",
		"Jürgen Groß":           "Juergen Gross",
		"ÉLÉONORE D’ARÇON":      "ELEONORE D'ARCON",
		"E\u0301LE\u0301ONORE":  "ELEONORE", // accents after their letters
		"JU\u0308RGEN":          "JUERGEN",
		"ŁUKASZ ŻÓŁĆ":           "LUKASZ ZOLC",
		"SØREN ÅKESSON":         "SOEREN AAKESSON",
		"ANNE–MARIE\u00A0ŒUVRE": "ANNE-MARIE OEUVRE",
		"ÞÓRA":                  "THORA",
		"ŠTĚPÁN ĎURĐEV":         "STEPAN DURDEV",
		"ΣΟΦΙΑ":                 "ΣΟΦΙΑ", // not Latin: not ours to decide
		"№22":                   "№22",
	}
	table := newEmbossed()
	for name, want := range tests {
		got, changed := table.write(name)
		if got != want || changed != (got != name) {
			t.Errorf("%q becomes %q (%v), want %q", name, got, changed, want)
		}
	}
}

// TestTransliterationCanBeEmbossed: whatever the table writes is allowed on a
// card, no letter is there twice, and the document says the same.
func TestTransliterationCanBeEmbossed(t *testing.T) {
	field := &orderfile.Schema().Fields[orderfile.Schema().Index("cardholder_name")]
	letters := 0
	for line := range strings.Lines(strings.TrimSpace(Transliteration)) {
		cells := strings.Fields(line)
		letters += len(cells) - 1
		if field.Check(cells[0]) != "" {
			t.Errorf("%q cannot be embossed", cells[0])
		}
	}
	if n := len(newEmbossed()); n != letters+2 { // and two spaces
		t.Errorf("%d letters in the table, %d of them different", letters, n-2)
	}
	readme, err := os.ReadFile("../../schemas/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.TrimSpace(Transliteration)) {
		if !strings.Contains(string(readme), "\n    "+strings.TrimSpace(line)+"\n") {
			t.Errorf("schemas/README.md lacks %q", strings.TrimSpace(line))
		}
	}
}

func TestTransliteratedNames(t *testing.T) {
	products := sample.Products()
	p := products[sample.ProductVisa]
	p.Transliterate = true
	products[p.ID] = p
	v := New(Rules{Products: products, Now: now()})
	r := goodRow()
	r.CardholderName, r.SecondName = text("Zoë Testowa-Groß"), text("CAFÉ SPÉCIMEN")
	in, errs := v.Check(orderfile.Record{Row: r})
	if len(errs) > 0 {
		t.Fatalf("rejected: %+v", errs)
	}
	if in.Card.Name.Reveal() != "Zoe Testowa-Gross" || in.Card.SecondName.Reveal() != "CAFE SPECIMEN" {
		t.Error("the names are not sent as they will be embossed")
	}
	if r.CardholderName.Reveal() != "Zoë Testowa-Groß" {
		t.Error("the row was changed: repeats would not be recognized")
	}
	for name, want := range map[string]string{
		strings.Repeat("ß", 14): "cardholder_name NAME_NOT_EMBOSSABLE", // 28 letters on the card
		"ΣΟΦΙΑ":                 "cardholder_name NAME_NOT_EMBOSSABLE",
		"\u0301TESTOWA":         "cardholder_name NAME_NOT_EMBOSSABLE",
	} {
		r.CardholderName = text(name)
		if got := outcome(v, r); len(got) != 1 || got[0] != want {
			t.Errorf("a bad name: %q, want %s", got, want)
		}
	}
	r.CardholderName = text("ZOË")
	if got := outcome(validator(), r); len(got) != 2 { // second_name has one, too
		t.Errorf("a product that does not allow it: %q", got)
	}
}
