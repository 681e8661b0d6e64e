package schemas_test

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/orderfile"
	"cardbatch/internal/tableschema"
	"cardbatch/schemas"
)

type rejectCode struct {
	Code    string `json:"code"`
	Level   string `json:"level"`
	Meaning string `json:"meaning"`
	Remedy  string `json:"remedy"`
}

func rejectCodes(t *testing.T) []rejectCode {
	t.Helper()
	b, err := schemas.FS.ReadFile(schemas.RejectCodesV1)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Title       string       `json:"title"`
		Description string       `json:"description"`
		Codes       []rejectCode `json:"codes"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Codes
}

// declared returns the values of the constants of type Code in package
// issuance, in their order, with the level that the block's comment names.
func declared(t *testing.T) ([]string, []string) {
	t.Helper()
	var codes, levels []string
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/issuance/code.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		level := strings.Fields(strings.TrimPrefix(block.Doc.Text(), "Codes of "))[1]
		for _, spec := range block.Specs {
			value := spec.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value
			code, err := strconv.Unquote(value)
			if err != nil {
				t.Fatal(err)
			}
			codes, levels = append(codes, code), append(levels, level)
		}
	}
	return codes, levels
}

// TestRejectCodesAreThoseOfTheDomain: neither side has a code that the other
// has not, and both file it under the same level.
func TestRejectCodesAreThoseOfTheDomain(t *testing.T) {
	codes, levels := declared(t)
	if len(codes) < 30 {
		t.Fatalf("only %d codes found in the source", len(codes))
	}
	var published, publishedLevels []string
	for _, c := range rejectCodes(t) {
		published, publishedLevels = append(published, c.Code), append(publishedLevels, c.Level)
		if c.Meaning == "" || c.Remedy == "" {
			t.Errorf("%s has no meaning or remedy", c.Code)
		}
	}
	if diff := cmp.Diff(codes, published); diff != "" {
		t.Errorf("codes (-source +published):\n%s", diff)
	}
	if diff := cmp.Diff(levels, publishedLevels); diff != "" {
		t.Errorf("levels (-source +published):\n%s", diff)
	}
}

// TestRejectCodesOfColumnsExist: a column's rejectCode is one of the published.
func TestRejectCodesOfColumnsExist(t *testing.T) {
	var rows []string
	for _, c := range rejectCodes(t) {
		if c.Level == "row" {
			rows = append(rows, c.Code)
		}
	}
	for _, f := range orderfile.Schema().Fields {
		if f.RejectCode != "" && !slices.Contains(rows, f.RejectCode) {
			t.Errorf("%s has rejectCode %s, which is not a code of a row", f.Name, f.RejectCode)
		}
		if f.Description == "" {
			t.Errorf("%s has no description", f.Name)
		}
	}
}

// TestSensitiveColumns: whoever adds a column decides whether it may be shown.
// These may; nothing else.
func TestSensitiveColumns(t *testing.T) {
	public := strings.Fields("order_id card_id consumer_id card_product_id issuance priority delivery card_carrier packaging packaging_inserts " +
		"pin_mailer card_image carrier_language shipment_type group_id dispatch_id delivery_country_code individual_country_code")
	var got []string
	for _, f := range orderfile.Schema().Fields {
		if f.Sensitive == tableschema.Public {
			got = append(got, f.Name)
		}
	}
	if diff := cmp.Diff(public, got); diff != "" {
		t.Error(diff)
	}
}

var update = flag.Bool("update", false, "write the list of codes in README.md")

// TestREADMEExplainsEveryCode: the list of README.md is the published one.
func TestREADMEExplainsEveryCode(t *testing.T) {
	var b strings.Builder
	titles := map[string]string{
		"file":   "Codes of a file, which is refused or held as a whole:",
		"row":    "Codes of a row, which is not ordered while the rest of the file may be:",
		"order":  "Codes of an order that was taken, in reports:",
		"change": "Codes of a change that was asked of an order, in receipts and reports:",
	}
	for _, level := range []string{"file", "row", "order", "change"} {
		b.WriteString("\n" + titles[level] + "\n\n| code | meaning | what to do |\n|---|---|---|\n")
		for _, c := range rejectCodes(t) {
			if c.Level == level {
				b.WriteString("| `" + c.Code + "` | " + c.Meaning + " | " + c.Remedy + " |\n")
			}
		}
	}
	const begin, end = "<!-- codes -->\n", "\n<!-- end of codes -->"
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), begin)
	list, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has no place for the codes")
	}
	if list == b.String() {
		return
	}
	if *update {
		if err := os.WriteFile("README.md", []byte(before+begin+b.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("README.md (-has +should have; rewrite with go test ./schemas -update):\n%s", cmp.Diff(list, b.String()))
}

// TestREADME: every contract is described, and the example is a control file.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := schemas.FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(string(readme), "`"+e.Name()+"`") {
			t.Errorf("README.md does not mention %s", e.Name())
		}
	}
	_, example, _ := strings.Cut(string(readme), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	example = strings.Replace(example, "<64 hexadecimal digits>", strings.Repeat("0a", 32), 1)
	if _, err := orderfile.ParseControl([]byte(example)); err != nil {
		t.Errorf("the example: %v", err)
	}
}
