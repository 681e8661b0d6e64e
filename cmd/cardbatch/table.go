package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// table lays out rows for a terminal. Columns are as wide as their widest cell;
// numbers stand at the right.
type table struct {
	titles []string // one that begins with > aligns its column right
	rows   [][]string
	totals []string // a last row under a line, if any
}

func newTable(titles ...string) *table { return &table{titles: titles} }

func (t *table) add(cells ...any) {
	t.rows = append(t.rows, texts(cells))
}

func texts(cells []any) []string {
	row := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case time.Time:
			row[i] = clock(c)
		case int64:
			row[i] = thousands(c)
		default:
			row[i] = printable(fmt.Sprint(c))
		}
	}
	return row
}

// printable replaces what would break a line or steer a terminal: names of
// files and texts of D1's are not ours.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

func (t *table) write(w io.Writer) error {
	titles := make([]string, len(t.titles))
	for i, title := range t.titles {
		titles[i] = strings.ToUpper(strings.TrimPrefix(title, ">"))
	}
	var all [][]string
	if strings.Join(titles, "") != "" { // facts have no titles
		all = append(all, titles)
	}
	all = append(all, t.rows...)
	if t.totals != nil {
		all = append(all, t.totals)
	}
	widths := make([]int, len(titles))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range all {
		if t.totals != nil && n == len(all)-1 {
			t.rule(&b, widths)
		}
		t.line(&b, widths, row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *table) line(b *strings.Builder, widths []int, row []string) {
	var line strings.Builder
	for i, cell := range row {
		if i > 0 {
			line.WriteString("  ")
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if strings.HasPrefix(t.titles[i], ">") {
			line.WriteString(pad + cell)
		} else {
			line.WriteString(cell + pad)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// rule underlines the columns that have totals.
func (t *table) rule(b *strings.Builder, widths []int) {
	marks := make([]string, len(widths))
	for i, width := range widths {
		if t.totals[i] != "" {
			marks[i] = strings.Repeat("-", width)
		}
	}
	t.line(b, widths, marks)
}

// clock shows a moment in UTC, and nothing for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// thousands groups the digits of a count.
func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// writeJSON writes one value, indented.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
