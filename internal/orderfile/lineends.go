package orderfile

import (
	"bytes"
	"io"
)

// loneCR reads a file whose lines end with CR alone: each becomes LF, so that
// everything after it knows one line end less. CRLF stays, and no byte moves.
type loneCR struct {
	r    io.Reader
	held bool // a CR that may be half of a CRLF waits for the next byte
}

// Read implements [io.Reader]. p must have room for two bytes.
func (l *loneCR) Read(p []byte) (int, error) {
	start := 0
	if l.held {
		p[0], start = '\r', 1
	}
	n, err := l.r.Read(p[start:])
	n += start
	l.held = false
	if n > 0 && p[n-1] == '\r' && err == nil {
		l.held = true
		n--
	}
	replaceLoneCR(p[:n])
	return n, err
}

// replaceLoneCR turns every CR into LF that no LF follows. No LF follows b.
func replaceLoneCR(b []byte) {
	for i := range b {
		if b[i] == '\r' && (i+1 == len(b) || b[i+1] != '\n') {
			b[i] = '\n'
		}
	}
}

// endsLinesWithCR reports whether the first line of a file ends with CR alone.
func (f *framer) endsLinesWithCR() bool {
	inQuotes := false
	for searched := 0; searched < f.max; {
		pending, err := f.peek(min(f.max, searched+1))
		if err != nil || len(pending) <= searched {
			return false
		}
		pending = f.buf[f.lo:min(f.hi, f.lo+f.max)]
		for i := searched; i < len(pending); i++ {
			switch c := pending[i]; {
			case c == '"':
				inQuotes = !inQuotes
			case inQuotes:
			case c == '\n':
				return false
			case c == '\r':
				next, err := f.peek(i + 2)
				return err == nil && (len(next) == i+1 || next[i+1] != '\n')
			}
		}
		searched = len(pending)
	}
	return false
}

// useCR makes the framer read lines that end with CR.
func (f *framer) useCR() {
	l := &loneCR{r: f.r}
	f.r = l
	pending := f.buf[f.lo:f.hi]
	if f.err == nil && bytes.HasSuffix(pending, []byte{'\r'}) {
		l.held = true
		f.hi--
	}
	replaceLoneCR(f.buf[f.lo:f.hi])
}
