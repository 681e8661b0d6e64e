package d1sim

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// A document is a JSON text parsed once into a flat list of nodes. Member names
// are matched exactly, as D1 does and encoding/json does not, and nothing is
// copied: a node points into the text.
type document struct {
	src   []byte
	nodes []node
	pos   int
	depth int
}

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

type node struct {
	kind       kind
	escaped    bool // the string holds escapes
	keyEscaped bool
	start, end int32 // the value; a string without its quotes
	key, keyTo int32 // the member's name, without quotes
	next       int32 // index of the node after this one and all it holds
}

var errNotJSON = errors.New("not a JSON text")

const maxDepth = 32

// parse reads exactly one JSON text. The document keeps src.
func (d *document) parse(src []byte) error {
	d.src, d.nodes, d.pos, d.depth = src, d.nodes[:0], 0, 0
	if !utf8.Valid(src) {
		return errNotJSON
	}
	d.space()
	if !d.value(0, 0, false) {
		return errNotJSON
	}
	d.space()
	if d.pos != len(src) {
		return errNotJSON
	}
	return nil
}

func (d *document) space() {
	for d.pos < len(d.src) {
		switch d.src[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *document) peek() byte {
	if d.pos < len(d.src) {
		return d.src[d.pos]
	}
	return 0
}

func (d *document) value(key, keyTo int32, keyEscaped bool) bool {
	at := len(d.nodes)
	d.nodes = append(d.nodes, node{key: key, keyTo: keyTo, keyEscaped: keyEscaped, start: int32(d.pos)})
	var k kind
	var escaped, ok bool
	start, end := d.pos, 0
	switch c := d.peek(); {
	case c == '"':
		k = kindString
		start, end, escaped, ok = d.str()
	case c == '{':
		k, ok = kindObject, d.nested('}', true)
	case c == '[':
		k, ok = kindArray, d.nested(']', false)
	case c == '-' || c >= '0' && c <= '9':
		k, ok = kindNumber, d.number()
	case c == 't':
		k, ok = kindBool, d.word("true")
	case c == 'f':
		k, ok = kindBool, d.word("false")
	case c == 'n':
		k, ok = kindNull, d.word("null")
	}
	if k != kindString {
		end = d.pos
	}
	n := &d.nodes[at]
	n.kind, n.escaped, n.start, n.end, n.next = k, escaped, int32(start), int32(end), int32(len(d.nodes))
	return ok
}

func (d *document) nested(closing byte, object bool) bool {
	if d.depth++; d.depth > maxDepth {
		return false
	}
	defer func() { d.depth-- }()
	d.pos++
	if d.space(); d.peek() == closing {
		d.pos++
		return true
	}
	for {
		d.space()
		var from, to int
		var escaped bool
		if object {
			ok := d.peek() == '"'
			if ok {
				from, to, escaped, ok = d.str()
			}
			if d.space(); !ok || d.peek() != ':' {
				return false
			}
			d.pos++
			d.space()
		}
		if !d.value(int32(from), int32(to), escaped) {
			return false
		}
		d.space()
		c := d.peek()
		d.pos++
		if c == closing {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

func (d *document) str() (start, end int, escaped, ok bool) {
	start = d.pos + 1
	for i := start; i < len(d.src); i++ {
		switch c := d.src[i]; {
		case c == '"':
			d.pos = i + 1
			return start, i, escaped, true
		case c < 0x20:
			return start, i, escaped, false
		case c == '\\':
			escaped = true
			if i++; i >= len(d.src) {
				return start, i, escaped, false
			}
			switch d.src[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(d.src) || !hex4(d.src[i+1:i+5]) {
					return start, i, escaped, false
				}
				i += 4
			default:
				return start, i, escaped, false
			}
		}
	}
	return start, len(d.src), escaped, false
}

func hex4(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

func (d *document) number() bool {
	if d.peek() == '-' {
		d.pos++
	}
	if d.peek() == '0' {
		d.pos++
	} else if !d.digits() {
		return false
	}
	if d.peek() == '.' {
		d.pos++
		if !d.digits() {
			return false
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		d.pos++
		if c := d.peek(); c == '+' || c == '-' {
			d.pos++
		}
		return d.digits()
	}
	return true
}

func (d *document) digits() bool {
	from := d.pos
	for c := d.peek(); c >= '0' && c <= '9'; c = d.peek() {
		d.pos++
	}
	return d.pos > from
}

func (d *document) word(w string) bool {
	if len(d.src)-d.pos < len(w) || string(d.src[d.pos:d.pos+len(w)]) != w {
		return false
	}
	d.pos += len(w)
	return true
}

// member returns the index of an object's member, or -1. Of several with the
// same name the last counts.
func (d *document) member(object int, name string) int {
	found := -1
	if object < 0 || d.nodes[object].kind != kindObject {
		return found
	}
	for i := object + 1; i < int(d.nodes[object].next); i = int(d.nodes[i].next) {
		n := &d.nodes[i]
		key := d.src[n.key:n.keyTo]
		if string(key) == name || n.keyEscaped && unescape(key) == name {
			found = i
		}
	}
	return found
}

// members calls f with the name and index of every member until it returns false.
func (d *document) members(object int, f func(name string, i int) bool) {
	if object < 0 || d.nodes[object].kind != kindObject {
		return
	}
	for i := object + 1; i < int(d.nodes[object].next); i = int(d.nodes[i].next) {
		n := &d.nodes[i]
		name := string(d.src[n.key:n.keyTo])
		if n.keyEscaped {
			name = unescape([]byte(name))
		}
		if !f(name, i) {
			return
		}
	}
}

// at follows a path of names from an object; -1 when it ends early.
func (d *document) at(object int, path ...string) int {
	for _, name := range path {
		object = d.member(object, name)
	}
	return object
}

// items calls f with the index of every item of an array until it returns false.
func (d *document) items(array int, f func(i int) bool) {
	if array < 0 || d.nodes[array].kind != kindArray {
		return
	}
	for i := array + 1; i < int(d.nodes[array].next); i = int(d.nodes[i].next) {
		if !f(i) {
			return
		}
	}
}

// text returns a string's value; "" for anything else and for -1. The result
// of a string without escapes points into the text: it must not be kept.
func (d *document) text(i int) []byte {
	if i < 0 || d.nodes[i].kind != kindString {
		return nil
	}
	n := &d.nodes[i]
	raw := d.src[n.start:n.end]
	if n.escaped {
		return []byte(unescape(raw))
	}
	return raw
}

// string is text, copied.
func (d *document) string(i int) string { return string(d.text(i)) }

// present reports whether there is a value other than null.
func (d *document) present(i int) bool { return i >= 0 && d.nodes[i].kind != kindNull }

func unescape(raw []byte) string {
	quoted := make([]byte, 0, len(raw)+2)
	quoted = append(append(append(quoted, '"'), raw...), '"')
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "" // cannot happen: the text was checked
	}
	return s
}
