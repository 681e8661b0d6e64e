package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Decode fills the struct that into points to. Fields without a yaml tag are
// left alone. Besides structs, slices, pointers and maps by string it knows
// text, booleans, whole numbers, [time.Duration] ("30s") and whatever
// implements [encoding.TextUnmarshaler]; a struct that does has its text as a
// short form and may be written as a group of keys all the same. Problems are kept for [Document.Err];
// what could be read is filled in.
func (d *Document) Decode(into any) {
	if d.body != nil {
		d.decode(d.body, "", reflect.ValueOf(into).Elem())
	}
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *Document) decode(n ast.Node, key string, v reflect.Value) {
	switch n.Type() { //nolint:exhaustive // the others are decoded below
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType:
		d.add(n.GetToken(), key, "anchors, aliases, merge keys and tags are not supported; write the value out")
		return
	case ast.NullType:
		d.add(n.GetToken(), key, "has no value; give it one or remove the key")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok && !isGroup(n, v.Type()) {
		d.decodeText(n, key, u)
		return
	}
	if v.Type() == durationType {
		d.decodeDuration(n, key, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, key, v)
	case reflect.Slice:
		d.decodeSlice(n, key, v)
	case reflect.Map:
		d.decodeMap(n, key, v)
	default:
		d.decodeScalar(n, key, v)
	}
}

// isGroup reports whether a value that has a short form, as text, is written in
// its long form, as a group of keys.
func isGroup(n ast.Node, t reflect.Type) bool {
	_, isText := text(n)
	return !isText && t.Kind() == reflect.Struct && len(Fields(t)) > 0
}

func (d *Document) wrongType(n ast.Node, key, want string) {
	d.add(n.GetToken(), key, fmt.Sprintf("must be %s, not %s", want, nameOf(n)))
}

func nameOf(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a group of keys"
	case ast.SequenceType:
		return "a list"
	case ast.BoolType:
		return "true or false"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	default:
		return "text"
	}
}

// text returns the characters of a scalar as written, quotes removed.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

func (d *Document) decodeText(n ast.Node, key string, u encoding.TextUnmarshaler) {
	s, ok := text(n)
	if !ok {
		d.wrongType(n, key, "text")
		return
	}
	if err := u.UnmarshalText([]byte(s)); err != nil {
		d.add(n.GetToken(), key, err.Error())
	}
}

func (d *Document) decodeDuration(n ast.Node, key string, v reflect.Value) {
	s, ok := text(n)
	if !ok {
		d.wrongType(n, key, `a duration such as "30s"`)
		return
	}
	dur, err := time.ParseDuration(s)
	if err != nil {
		d.add(n.GetToken(), key, fmt.Sprintf("%q is not a duration; write a number with a unit, such as 30s, 5m or 2h", s))
		return
	}
	if dur < 0 {
		d.add(n.GetToken(), key, "a duration must not be negative")
		return
	}
	v.SetInt(int64(dur))
}

func (d *Document) decodeScalar(n ast.Node, key string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		d.decodeString(n, key, v)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.wrongType(n, key, "true or false")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64:
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			d.wrongType(n, key, "a whole number")
			return
		}
		whole, err := strconv.ParseInt(i.Token.Value, 10, 64)
		if err != nil {
			d.add(n.GetToken(), key, "must be a whole number in plain decimal digits")
			return
		}
		v.SetInt(whole)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.GetToken().Value, 64)
		if _, quoted := n.(*ast.StringNode); quoted || err != nil {
			d.wrongType(n, key, "a number")
			return
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("strictyaml: field %s has a type that is not supported: %s", key, v.Type()))
	}
}

func (d *Document) decodeString(n ast.Node, key string, v reflect.Value) {
	switch n := n.(type) {
	case *ast.StringNode:
		v.SetString(n.Value)
	case *ast.LiteralNode:
		v.SetString(n.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		d.add(n.GetToken(), key, fmt.Sprintf("must be text, not %s; put it in quotes: %q", nameOf(n), n.GetToken().Value))
	default:
		d.wrongType(n, key, "text")
	}
}

func (d *Document) decodeSlice(n ast.Node, key string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongType(n, key, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		itemKey := fmt.Sprintf("%s[%d]", key, i)
		d.places[itemKey] = firstToken(item)
		d.decode(item, itemKey, out.Index(i))
	}
	v.Set(out)
}

func (d *Document) decodeMap(n ast.Node, key string, v reflect.Value) {
	entries, ok := d.entries(n, key)
	if !ok {
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, e := range entries {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(e.value, e.key, value)
		out.SetMapIndex(reflect.ValueOf(e.name).Convert(v.Type().Key()), value)
	}
	v.Set(out)
}

func (d *Document) decodeStruct(n ast.Node, key string, v reflect.Value) {
	entries, ok := d.entries(n, key)
	if !ok {
		return
	}
	fields := Fields(v.Type())
	for _, e := range entries {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == e.name })
		if i < 0 {
			d.add(e.at, e.key, "unknown key"+hint(e.name, fields))
			continue
		}
		d.decode(e.value, e.key, v.FieldByIndex(fields[i].Index))
	}
}

type entry struct {
	name, key string
	at        *token.Token
	value     ast.Node
}

// entries returns the keys of a mapping, each once.
func (d *Document) entries(n ast.Node, key string) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.wrongType(n, key, "a group of keys")
		return nil, false
	}
	entries := make([]entry, 0, len(values))
	for _, mv := range values {
		t := mv.Key.GetToken()
		name, ok := text(mv.Key)
		if !ok {
			d.add(t, key, "a key must be plain text")
			continue
		}
		e := entry{name: name, key: join(key, name), at: t, value: mv.Value}
		if first, ok := d.places[e.key]; ok {
			d.add(t, e.key, fmt.Sprintf("given twice; first in line %d", first.Position.Line))
			continue
		}
		d.places[e.key] = t
		entries = append(entries, e)
	}
	return entries, true
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// firstToken finds where a value starts; goccy's own answer for a mapping is
// its first colon.
func firstToken(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	if mv, ok := n.(*ast.MappingValueNode); ok {
		return mv.Key.GetToken()
	}
	return n.GetToken()
}

// Field is a struct field that a file can set.
type Field struct {
	Name  string // its key
	Index []int  // for reflect.Value.FieldByIndex
	Type  reflect.Type
}

// Fields lists the fields of a struct type that a file can set, those of
// embedded structs included.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields = append(fields, Field{Name: name, Index: f.Index, Type: f.Type})
	}
	return fields
}

func hint(name string, fields []Field) string {
	best, at := "", 3
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
		if n := distance(name, f.Name); n < at {
			best, at = f.Name, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; known here: " + strings.Join(names, ", ")
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
