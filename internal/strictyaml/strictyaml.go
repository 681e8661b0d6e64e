// Package strictyaml reads YAML written by operators: the configuration and the
// job files. It is strict and says everything that is wrong at once, each
// problem with file, line, column and key:
//
//	cardbatch.yaml:41:5: sources[0].patern: unknown key; did you mean "pattern"?
//
// Unknown keys, repeated keys, keys without a value and values of the wrong
// type are problems. A number where text is expected is one too, because YAML
// would silently drop leading zeros. Anchors, aliases, merge keys and tags are
// refused: a file in which a line means what it says is easier to review.
//
// A caller parses a file with [Parse], fills a struct with [Document.Decode]
// (fields are named by their yaml tags), reports what only it can know with
// [Document.Problem], and ends with [Document.Err].
package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Problem is one thing wrong with a file.
type Problem struct {
	File   string
	Line   int // from 1; 0 when it is about the file as a whole
	Column int
	Key    string // sources[0].pattern; empty at the top
	Text   string
}

// String gives the problem in one line, the way compilers do.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is the error returned by [Document.Err]: at least one problem, in
// the order of the file.
type Problems []Problem

// Error lists all problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Document is a parsed file and what has been found wrong with it so far.
type Document struct {
	file     string
	body     ast.Node
	places   map[string]*token.Token // by key path, of what has been decoded
	problems Problems
}

// Parse reads the text of a file; file is its name for messages. It never
// fails: what is wrong is kept for [Document.Err].
func Parse(file string, data []byte) *Document {
	d := &Document{file: file, places: map[string]*token.Token{}}
	parsed, err := parse(data)
	if err != nil {
		d.syntaxProblem(err)
		return d
	}
	for _, doc := range parsed.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if d.body != nil {
			d.add(doc.Body.GetToken(), "", "a second document; one file holds one")
			return d
		}
		d.body = doc.Body
	}
	if d.body == nil {
		d.add(nil, "", "the file is empty")
	}
	return d
}

// parse keeps a panic of the parser, which has had some, from stopping us.
func parse(data []byte) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

func (d *Document) syntaxProblem(err error) {
	var ye yaml.Error
	if errors.As(err, &ye) {
		d.add(ye.GetToken(), "", ye.GetMessage())
		return
	}
	d.add(nil, "", err.Error())
}

// Problem reports that the value of a key is wrong. The line is that of the
// key or, when the file does not have it, of the nearest key around it.
func (d *Document) Problem(key, format string, args ...any) {
	d.add(d.place(key), key, fmt.Sprintf(format, args...))
}

// Has reports whether the file gave a value to the key.
func (d *Document) Has(key string) bool {
	_, ok := d.places[key]
	return ok
}

// Err returns everything found wrong as [Problems], or nil.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	sorted := slices.Clone(d.problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(sorted)
}

func (d *Document) place(key string) *token.Token {
	for key != "" {
		if t, ok := d.places[key]; ok {
			return t
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return nil
}

func (d *Document) add(t *token.Token, key, text string) {
	p := Problem{File: d.file, Key: key, Text: text}
	if t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	d.problems = append(d.problems, p)
}
