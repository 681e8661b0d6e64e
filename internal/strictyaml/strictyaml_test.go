package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/strictyaml"

	"github.com/google/go-cmp/cmp"
)

type level string

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "low" && string(b) != "7" {
		return fmt.Errorf("%q is not a level", b)
	}
	*l = level(b)
	return nil
}

type item struct {
	Name string `yaml:"name"`
	Size int64  `yaml:"size"`
}

type common struct {
	Inner string `yaml:"inner"`
}

type example struct {
	common
	Text  string           `yaml:"text"`
	Wait  time.Duration    `yaml:"wait"`
	On    bool             `yaml:"on"`
	Rate  float64          `yaml:"rate"`
	Level level            `yaml:"level"`
	Items []item           `yaml:"items"`
	Names []string         `yaml:"names"`
	Count map[string]int64 `yaml:"count"`
	Maybe *item            `yaml:"maybe"`
	Own   string
}

func decode(text string) (example, error) {
	var ex example
	doc := strictyaml.Parse("x.yaml", []byte(text))
	doc.Decode(&ex)
	return ex, doc.Err()
}

func TestDecode(t *testing.T) {
	got, err := decode(`
# a comment
inner: deep
text: "007"
wait: 1m30s
on: true
rate: 20
level: 7
items:
  - name: a
    size: 12
  - {name: b, size: 13}
names: [x, "y"]
count: {one: 1}
maybe:
  name: c
`)
	if err != nil {
		t.Fatal(err)
	}
	want := example{common: common{"deep"}, Text: "007", Wait: 90 * time.Second, On: true, Rate: 20, Level: "7",
		Items: []item{{"a", 12}, {"b", 13}}, Names: []string{"x", "y"}, Count: map[string]int64{"one": 1}, Maybe: &item{Name: "c"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(example{})); diff != "" {
		t.Error(diff)
	}
}

func TestProblems(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "text: a\ntexd: b\n", `x.yaml:2:1: texd: unknown key; did you mean "text"?`},
		{"unknown deep", "items:\n  - name: a\n    price: 3\n", `x.yaml:3:5: items[0].price: unknown key; known here: name, size`},
		{"twice", "text: a\non: true\ntext: b\n", `x.yaml:3:1: text: given twice; first in line 1`},
		{"no value", "text:\non: true\n", `x.yaml:1:6: text: has no value; give it one or remove the key`},
		{"number for text", "text: 007\n", `x.yaml:1:7: text: must be text, not a number; put it in quotes: "007"`},
		{"bool for text", "names: [true]\n", `x.yaml:1:9: names[0]: must be text, not true or false; put it in quotes: "true"`},
		{"text for number", "items: [{size: many}]\n", `x.yaml:1:16: items[0].size: must be a whole number, not text`},
		{"quoted rate", `rate: "5"`, `x.yaml:1:7: rate: must be a number, not text`},
		{"fraction for whole", "items: [{size: 1.5}]\n", `x.yaml:1:16: items[0].size: must be a whole number, not a number`},
		{"octal", "items: [{size: 0o17}]\n", `x.yaml:1:16: items[0].size: must be a whole number in plain decimal digits`},
		{"text for bool", "on: yes\n", `x.yaml:1:5: on: must be true or false, not text`},
		{"list for text", "text: [a]\n", `x.yaml:1:7: text: must be text, not a list`},
		{"text for list", "names: a\n", `x.yaml:1:8: names: must be a list, not text`},
		{"text for group", "maybe: a\n", `x.yaml:1:8: maybe: must be a group of keys, not text`},
		{"duration without unit", "wait: 30\n", `x.yaml:1:7: wait: "30" is not a duration; write a number with a unit, such as 30s, 5m or 2h`},
		{"negative duration", "wait: -3s\n", `x.yaml:1:7: wait: a duration must not be negative`},
		{"own type", "level: high\n", `x.yaml:1:8: level: "high" is not a level`},
		{"anchor", "text: &a b\n", `x.yaml:1:7: text: anchors, aliases, merge keys and tags are not supported; write the value out`},
		{"tag", "text: !!str 5\n", `x.yaml:1:7: text: anchors, aliases, merge keys and tags are not supported; write the value out`},
		{"empty", "# nothing\n", `x.yaml: the file is empty`},
		{"two documents", "text: a\n---\ntext: b\n", `x.yaml:3:5: a second document; one file holds one`},
		{"not a group", "- a\n", `x.yaml:1:1: must be a group of keys, not a list`},
		{"all at once", "texd: b\nwait: 3\n", "x.yaml:1:1: texd: unknown key; did you mean \"text\"?\n" +
			"x.yaml:2:7: wait: \"3\" is not a duration; write a number with a unit, such as 30s, 5m or 2h"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := decode(tc.text)
			var ps strictyaml.Problems
			if !errors.As(err, &ps) {
				t.Fatalf("want problems, got %v", err)
			}
			if diff := cmp.Diff(tc.want, ps.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSyntaxErrorHasALine(t *testing.T) {
	_, err := decode("text: a\n  on: [true\n")
	if err == nil || !strings.HasPrefix(err.Error(), "x.yaml:1:7: ") {
		t.Errorf("got %v", err)
	}
}

func TestProblemIsPlacedAtTheNearestKey(t *testing.T) {
	var ex example
	doc := strictyaml.Parse("x.yaml", []byte("text: a\nitems:\n  - name: a\n"))
	doc.Decode(&ex)
	doc.Problem("items[0].size", "is missing")
	doc.Problem("wait", "is missing, and so is %s", "the rest")
	want := "x.yaml: wait: is missing, and so is the rest\nx.yaml:3:5: items[0].size: is missing"
	if diff := cmp.Diff(want, doc.Err().Error()); diff != "" {
		t.Error(diff)
	}
	if !doc.Has("items[0].name") || doc.Has("items[0].size") {
		t.Error("Has is wrong")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("text: a\nitems:\n  - {name: b, size: 1}\n")
	f.Add("a: &x [*x]\n<<: *x\n? [1]\n: 2\n")
	f.Add("wait: 3s\ncount: {1: 2}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := decode(text); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
