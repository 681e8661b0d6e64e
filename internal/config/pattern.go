package config

import (
	"path"
	"strings"
	"unicode/utf8"
)

// checkPattern refuses patterns of names that are left alone for ever.
func (s *Source) checkPattern(c checker, key string) {
	const control = ".ctl"
	if strings.HasPrefix(s.Pattern, ".") {
		c.Problem(key, "%q would match no file: names that begin with a dot are left alone", s.Pattern)
	}
	for _, suffix := range s.Completion.IgnoreSuffixes {
		if suffix != "" && strings.HasSuffix(s.Pattern, suffix) {
			c.Problem(key, "%q would match no file: names that end with %s are still being written, says ignore_suffixes", s.Pattern, suffix)
		}
	}
	if s.Completion.Control && strings.HasSuffix(s.Pattern, control) {
		c.Problem(key, "%q would match no file: names that end with %s are those of control files", s.Pattern, control)
	}
}

// overlap reports whether a name can match both patterns, which are valid.
func overlap(a, b string) bool {
	as, bs := tokens(a), tokens(b)
	var can []bool // of what is left of a, for each j: can it match the same as bs[j:]?
	for i := len(as); i >= 0; i-- {
		next := can
		can = make([]bool, len(bs)+1)
		for j := len(bs); j >= 0; j-- {
			endA, endB := i == len(as), j == len(bs)
			switch {
			case endA && endB:
				can[j] = true
			case !endA && as[i] == star:
				can[j] = next[j] || !endB && can[j+1]
			case !endB && bs[j] == star:
				can[j] = can[j+1] || !endA && next[j]
			case !endA && !endB:
				can[j] = next[j+1] && meet(as[i], bs[j])
			}
		}
	}
	return can[0]
}

const star = "*"

// tokens splits a valid pattern into what matches one character each, and stars.
func tokens(pattern string) []string {
	var all []string
	for pattern != "" {
		// The shortest beginning that is a pattern itself is the next token.
		end := 1
		for end < len(pattern) {
			if _, err := path.Match(pattern[:end], ""); err == nil && utf8.ValidString(pattern[:end]) {
				break
			}
			end++
		}
		all, pattern = append(all, pattern[:end]), pattern[end:]
	}
	return all
}

// meet reports whether a character can match both tokens.
func meet(a, b string) bool {
	for r := ' '; r <= '~'; r++ {
		if matches(a, r) && matches(b, r) {
			return true
		}
	}
	for _, r := range a + b { // others only if they are named
		if matches(a, r) && matches(b, r) {
			return true
		}
	}
	return false
}

func matches(token string, r rune) bool {
	ok, err := path.Match(token, string(r))
	return ok && err == nil
}
