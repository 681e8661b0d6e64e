package tableschema

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/schemas"
)

func orderSchema(tb testing.TB) *Schema {
	tb.Helper()
	b, err := schemas.FS.ReadFile(schemas.OrderFileV1)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := Parse(b)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mini is a schema of three columns a, b, c with the given constraints for b.
func mini(constraints string) string {
	return `{"name":"mini","fieldsMatch":["exact"],"missingValues":[""],"fields":[
		{"name":"a","type":"string","rule":"any"},
		{"name":"b","type":"string","rule":"any","constraints":{` + constraints + `}},
		{"name":"c","type":"string","rule":"any"}]}`
}

func TestParseRefusesWhatItWouldNotCheck(t *testing.T) {
	tests := map[string]string{
		"not JSON":                  `{`,
		"unknown constraint":        mini(`"minimum":"3"`),
		"unknown property":          strings.Replace(mini(``), `"name":"a"`, `"name":"a","format":"email"`, 1),
		"other type":                strings.Replace(mini(``), `"string"`, `"integer"`, 1),
		"other fieldsMatch":         strings.Replace(mini(``), `exact`, `subset`, 1),
		"no fieldsMatch":            strings.Replace(mini(``), `"fieldsMatch":["exact"],`, ``, 1),
		"missing values":            strings.Replace(mini(``), `[""]`, `["-"]`, 1),
		"field twice":               strings.Replace(mini(``), `"name":"c"`, `"name":"a"`, 1),
		"no name":                   strings.Replace(mini(``), `"name":"c"`, `"name":""`, 1),
		"no rule":                   strings.Replace(mini(``), `"rule":"any"`, `"rule":""`, 1),
		"unknown sensitivity":       strings.Replace(mini(``), `"rule":"any"`, `"rule":"any","sensitive":"a bit"`, 1),
		"pattern with a mistake":    mini(`"pattern":"^[a-$"`),
		"pattern open at the end":   mini(`"pattern":"^[a-z]+"`),
		"pattern open at the start": mini(`"pattern":"[a-z]+$"`),
		"pattern of alternatives":   mini(`"pattern":"^a|b$"`),
	}
	for name, schema := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(schema)); err == nil {
				t.Error("parsed")
			}
		})
	}
	if _, err := Parse([]byte(mini(``))); err != nil {
		t.Errorf("the schema the others are derived from: %v", err)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		constraints, cell string
		want              Violation
	}{
		{``, "", None},
		{``, "anything", None},
		{`"required":true`, "", Required},
		{`"required":true`, "x", None},
		{`"pattern":"^[0-9]{3}$"`, "", None},
		{`"pattern":"^[0-9]{3}$"`, "010", None},
		{`"pattern":"^[0-9]{3}$"`, "0100", Pattern},
		{`"pattern":"^[0-9]{3}$"`, "010\n", Pattern},
		{`"pattern":"^[0-9]{3}$"`, "٣٣٣", Pattern},
		{`"enum":["A","B"]`, "B", None},
		{`"enum":["A","B"]`, "b", Enum},
		{`"minLength":2,"maxLength":3`, "é", Length},
		{`"minLength":2,"maxLength":3`, "ééé", None},
		{`"maxLength":3`, "éééé", Length},
	}
	for _, tt := range tests {
		t.Run(tt.constraints+" "+tt.cell, func(t *testing.T) {
			s, err := Parse([]byte(mini(tt.constraints)))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Fields[1].Check(tt.cell); got != tt.want {
				t.Errorf("Check(%q) = %q, want %q", tt.cell, got, tt.want)
			}
		})
	}
}

func TestCheckHeader(t *testing.T) {
	s, err := Parse([]byte(strings.NewReplacer(`"a"`, `"order_id"`, `"b"`, `"card_id"`, `"c"`, `"pan"`).Replace(mini(``))))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		header string
		want   []string
	}{
		{"order_id,card_id,pan", nil},
		{"order_id,pan", []string{"column card_id is missing"}},
		{"order_id,card_id,pan,pan", []string{"column pan is there again at position 4"}},
		{"order_id,card_id,pan,x", []string{`column "x" at position 4 is not known`}},
		{"order_id,Card_ID,pan", []string{`column "Card_ID" at position 2 is not known`, "column card_id is missing"}},
		{"card_id,pan,order_id", []string{"column order_id at position 3 belongs first"}},
		{"pan,order_id,card_id", []string{"column pan at position 1 belongs after card_id"}},
		{"order_id;card_id;pan", []string{`column "order_id;card_id;pan" at position 1 is not known`,
			"column order_id is missing", "column card_id is missing", "column pan is missing"}},
		{"", []string{`column "" at position 1 is not known`,
			"column order_id is missing", "column card_id is missing", "column pan is missing"}},
	}
	for _, tt := range tests {
		t.Run(tt.header, func(t *testing.T) {
			var got []string
			for _, p := range s.CheckHeader(strings.Split(tt.header, ",")) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestHeaderProperty: only the schema's own header has no problem, and every
// column that was dropped, doubled or moved is named.
func TestHeaderProperty(t *testing.T) {
	s := orderSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		header := s.Names()
		i := rapid.IntRange(0, len(header)-1).Draw(t, "column")
		name := header[i]
		switch rapid.SampledFrom([]string{"drop", "double", "move"}).Draw(t, "what") {
		case "drop":
			header = append(header[:i], header[i+1:]...)
		case "double":
			header = append(header, name)
		case "move":
			j := rapid.IntRange(0, len(header)-1).Filter(func(j int) bool { return j < i-1 || j > i+1 }).Draw(t, "to")
			header = append(header[:i], header[i+1:]...)
			header = append(header[:j], append([]string{name}, header[j:]...)...)
		}
		problems := s.CheckHeader(header)
		if len(problems) != 1 || problems[0].Column != name {
			t.Fatalf("problems %v, want one about %s", problems, name)
		}
	})
}

func TestSimilar(t *testing.T) {
	s := orderSchema(t)
	for _, column := range []string{"Order_ID", " order_id", "order-id", "OrderId"} {
		if got, ok := Similar(column, s.Names()); !ok || got != "order_id" {
			t.Errorf("Similar(%q) = %q", column, got)
		}
	}
	if got, ok := Similar("name", s.Names()); ok {
		t.Errorf("Similar(name) = %q", got)
	}
}

// TestPatternsAgreeWithRegexp compares the fast matcher with regexp on every
// pattern of our schema and on some made to mislead it.
func TestPatternsAgreeWithRegexp(t *testing.T) {
	b, err := schemas.FS.ReadFile(schemas.OrderFileV1)
	if err != nil {
		t.Fatal(err)
	}
	patterns := []string{
		`^a?a$`, `^a*b*a$`, `^[ab]{1,3}b$`, `^x?[0-9]{2,4}$`, `^(?i)ab$`, `^a+?b$`, `^abc$`, `^é{2}[^é]*$`, `^.*$`, `^(a|b){2}$`, `^\+?[0-9]{6,15}$`, `^$`,
	}
	for _, m := range regexp.MustCompile(`"pattern": "(.*)"`).FindAllSubmatch(b, -1) {
		patterns = append(patterns, strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\uFFFD`, "\uFFFD").Replace(string(m[1])))
	}
	if len(patterns) < 40 {
		t.Fatalf("only %d patterns found", len(patterns))
	}
	fast := 0
	for i, pattern := range patterns {
		m, err := compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.(fastPattern); ok {
			fast++
		}
		re := regexp.MustCompile(pattern)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				cell := rapid.OneOf(
					rapid.String(),
					rapid.StringMatching(pattern),
					rapid.StringOfN(rapid.SampledFrom([]rune("ab1+.| é\uFFFD\x00\n")), 0, 70, -1),
					rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }),
				).Draw(t, "cell")
				if got, want := m.match(cell), re.MatchString(cell); got != want {
					t.Fatalf("%s on %q: %v, regexp says %v", pattern, cell, got, want)
				}
			})
		})
	}
	if fast < 40 {
		t.Errorf("only %d of %d patterns are fast", fast, len(patterns))
	}
}

func BenchmarkCheck(b *testing.B) {
	s := orderSchema(b)
	id, line, jwe := s.Fields[s.Index("order_id")], s.Fields[s.Index("delivery_line1")], s.Fields[s.Index("encrypted_data")]
	part := strings.Repeat("A", 100)
	for name, c := range map[string]struct {
		f    Field
		cell string
	}{
		"id":   {id, "ord-20300301-000001"},
		"line": {line, "17 Rue de l'Hôpital 000123"},
		"jwe":  {jwe, part + ".." + part + "." + part + "." + part},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.f.Check(c.cell) != None {
					b.Fatal("violated")
				}
			}
		})
	}
}

// TestMatchHeader: columns are found by the file's names wherever they are, and
// what is wrong is said in these names.
func TestMatchHeader(t *testing.T) {
	s, err := Parse([]byte(mini(`"required":true`)))
	if err != nil {
		t.Fatal(err)
	}
	all := Naming{Names: []string{"A1", "b", "C 3"}}
	tests := []struct {
		name   string
		naming Naming
		header string
		places []int
		want   []string
	}{
		{"any order", all, "C 3,b,A1", []int{2, 1, 0}, nil},
		{"missing", all, "b", []int{1}, []string{"column A1 (a) is missing", "column C 3 (c) is missing"}},
		{"repeated", all, "A1,b,C 3,b", nil, []string{"column b is there again at position 4"}},
		{"unknown", all, "A1,x,b,C 3", nil, []string{`column "x" at position 2 is not known`}},
		{"our name is unknown", all, "a,b,C 3", nil, []string{`column "a" at position 1 is not known`, "column A1 (a) is missing"}},
		{"absent", Naming{all.Names, true, false}, "b", []int{1}, nil},
		{"required and absent", Naming{all.Names, true, false}, "A1", nil, []string{"column b is missing"}},
		{"extra", Naming{all.Names, false, true}, "x,A1,,b,C 3,x", []int{-1, 0, -1, 1, 2, -1}, nil},
		{"misspelt is not extra", Naming{all.Names, true, true}, "b,c3,a1", nil,
			[]string{`column "c3" at position 2 is not known`, `column "a1" at position 3 is not known`, "column A1 (a) is missing", "column C 3 (c) is missing"}},
		{"not in the file", Naming{[]string{"", "b", ""}, false, false}, "b", []int{1}, nil},
		{"not in the file, but there", Naming{[]string{"", "b", ""}, false, false}, "b,a", nil, []string{`column "a" at position 2 is not known`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			places, problems := s.MatchHeader(strings.Split(tt.header, ","), tt.naming)
			var texts []string
			for _, p := range problems {
				texts = append(texts, p.String())
			}
			if diff := cmp.Diff(tt.want, texts); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.places, places); tt.want == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}
