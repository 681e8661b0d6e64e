package orderfile

import (
	"bytes"
	"errors"
	"io"
)

const readSize = 64 << 10

// frame is the bytes of one row.
type frame struct {
	raw    []byte // with its line end, if it has one; valid until the next call of next
	line   int64  // physical line it starts on, from 1
	offset int64  // of its first byte
	fields int
	quote  quoteFault
	ended  bool // it has a line end
}

// quoteFault says why the quotes of a row do not work out.
type quoteFault string

const (
	quotesFine   quoteFault = ""
	quoteInside  quoteFault = "a double quote stands inside a field that does not begin with one"
	quoteAfter   quoteFault = "something follows the double quote that closes a field"
	quoteForever quoteFault = "a double quote opens a field and no other closes it"
)

var errLineTooLong = errors.New("line too long")

// framer splits a file into rows by the quoting rules of RFC 4180.
type framer struct {
	r     io.Reader
	max   int // bytes of a row
	delim byte

	buf    []byte // buf[lo:hi] is read and not yet consumed
	lo, hi int
	err    error // of r, io.EOF included; nothing is read after it
	line   int64 // the physical line that buf[lo] is on
	offset int64 // of buf[lo] in the file
}

func newFramer(r io.Reader, maxRow int, delim byte) *framer {
	return &framer{r: r, max: maxRow, delim: delim, buf: make([]byte, maxRow+readSize), line: 1}
}

// peek makes at least n bytes available, fewer at the end of the file.
func (f *framer) peek(n int) ([]byte, error) {
	for f.hi-f.lo < n && f.err == nil {
		f.fill()
	}
	if f.hi-f.lo < n && !errors.Is(f.err, io.EOF) {
		return nil, f.err
	}
	return f.buf[f.lo:min(f.hi, f.lo+n)], nil
}

func (f *framer) skip(n int) { f.consume(n, 0) }

// fill reads once. It makes room first, so it must only be asked for more when
// less than max bytes are pending.
func (f *framer) fill() {
	if f.hi >= len(f.buf)-1 { // loneCR needs room for two
		f.hi = copy(f.buf, f.buf[f.lo:f.hi])
		f.lo = 0
	}
	for range 100 { // as bufio does: a reader may return nothing, but not for ever
		n, err := f.r.Read(f.buf[f.hi:])
		f.hi += n
		f.err = err
		if n > 0 || err != nil {
			return
		}
	}
	f.err = io.ErrNoProgress
}

// next returns the next row that is not a blank line, io.EOF after the last.
func (f *framer) next() (frame, error) {
	for {
		size, err := f.lineEnd(0)
		if err != nil {
			return frame{}, err
		}
		if size == 0 {
			return frame{}, io.EOF
		}
		first := f.buf[f.lo : f.lo+size]
		if len(trimLineEnd(first)) == 0 {
			f.consume(size, 1)
			continue
		}
		fr := frame{line: f.line, offset: f.offset}
		lines := int64(1)
		if bytes.IndexByte(first, '"') < 0 {
			fr.fields = bytes.Count(first, []byte{f.delim}) + 1
		} else {
			quoted, err := f.scan()
			if err != nil {
				return frame{}, err
			}
			fr.fields, fr.quote = quoted.fields, quoted.fault
			if quoted.fault == quotesFine {
				size, lines = quoted.size, quoted.lines
			}
		}
		fr.raw = f.buf[f.lo : f.lo+size]
		fr.ended = fr.raw[size-1] == '\n'
		f.consume(size, lines)
		return fr, nil
	}
}

func (f *framer) consume(size int, lines int64) {
	f.lo += size
	f.offset += int64(size)
	f.line += lines
}

// lineEnd returns how many of the pending bytes the line that starts at offset
// from ends after, its line end included. At the end of the file that is all
// there is.
func (f *framer) lineEnd(from int) (int, error) {
	searched := from
	for {
		pending := f.buf[f.lo:f.hi]
		if i := bytes.IndexByte(pending[searched:], '\n'); i >= 0 && searched+i < f.max {
			return searched + i + 1, nil
		}
		if len(pending) >= f.max {
			return 0, errLineTooLong
		}
		if f.err != nil {
			if errors.Is(f.err, io.EOF) {
				return len(pending), nil
			}
			return 0, f.err
		}
		searched = len(pending)
		f.fill()
	}
}

type quotedRow struct {
	size   int
	lines  int64
	fields int
	fault  quoteFault
}

// scan walks a row that has quotes. With a fault, the size means nothing.
func (f *framer) scan() (quotedRow, error) {
	row := quotedRow{fields: 1}
	eol, err := f.lineEnd(0)
	if err != nil {
		return row, err
	}
	at, inQuotes, fieldStart := 0, false, true
	for {
		// buf may move when more is read, so the line is looked up anew.
		line := f.buf[f.lo+at : f.lo+eol]
		at = eol
		row.lines++
		inQuotes, fieldStart, row.fault = walkLine(line, f.delim, inQuotes, fieldStart, &row.fields)
		if row.fault != quotesFine || !inQuotes {
			row.size = eol
			return row, nil
		}
		switch eol, err = f.lineEnd(at); {
		case errors.Is(err, errLineTooLong), err == nil && eol == at:
			row.fault = quoteForever
			return row, nil
		case err != nil:
			return row, err
		}
	}
}

// walkLine walks one physical line of a row, counting fields.
func walkLine(line []byte, delim byte, inQuotes, fieldStart bool, fields *int) (bool, bool, quoteFault) {
	end := len(trimLineEnd(line))
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case inQuotes && c != '"':
		case inQuotes: // closes, or is the first of a doubled one
			if i+1 < len(line) && line[i+1] == '"' {
				i++
				continue
			}
			inQuotes = false
			if i+1 < end && line[i+1] != delim {
				return false, false, quoteAfter
			}
		case i >= end:
			return false, true, quotesFine
		case c == delim:
			*fields++
			fieldStart = true
			continue
		case c == '"' && fieldStart:
			inQuotes = true
		case c == '"':
			return false, false, quoteInside
		}
		fieldStart = false
	}
	return inQuotes, false, quotesFine
}

// trimLineEnd cuts LF or CRLF, and at the end of the file a single CR.
func trimLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}
