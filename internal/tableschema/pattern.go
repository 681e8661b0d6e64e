package tableschema

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// matcher decides whether a whole cell matches a pattern.
type matcher interface{ match(cell string) bool }

type slowPattern struct{ *regexp.Regexp }

func (p slowPattern) match(cell string) bool { return p.MatchString(cell) }

// compile turns a pattern into the fastest matcher that decides the same. The
// pattern must be anchored at both ends: Table Schema means the whole cell,
// most programs search for a part of it, and anchors make both agree.
func compile(pattern string) (matcher, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	parts := tree.Sub
	if tree.Op != syntax.OpConcat || len(parts) < 2 ||
		parts[0].Op != syntax.OpBeginText || parts[len(parts)-1].Op != syntax.OpEndText {
		return nil, fmt.Errorf("pattern %q is not anchored by ^ and $", pattern)
	}
	if fast, ok := sequence(parts[1 : len(parts)-1]); ok {
		return fast, nil
	}
	return slowPattern{re}, nil
}

// fastPattern is a sequence of runs, each taking as many characters as it can.
// That is right only if no run could have left characters to its successors;
// see deterministic.
type fastPattern []run

// run is between least and most characters of a class; most -1 is no limit.
type run struct {
	ascii       [utf8.RuneSelf]bool
	ranges      []rune // pairs of first and last, both inclusive
	least, most int
}

func sequence(parts []*syntax.Regexp) (fastPattern, bool) {
	var p fastPattern
	for _, part := range parts {
		runs, ok := runsOf(part)
		if !ok {
			return nil, false
		}
		p = append(p, runs...)
	}
	return p, p.deterministic()
}

func runsOf(part *syntax.Regexp) ([]run, bool) {
	class, least, most := part, 1, 1
	switch part.Op {
	case syntax.OpRepeat:
		class, least, most = part.Sub[0], part.Min, part.Max
	case syntax.OpStar:
		class, least, most = part.Sub[0], 0, -1
	case syntax.OpPlus:
		class, least, most = part.Sub[0], 1, -1
	case syntax.OpQuest:
		class, least, most = part.Sub[0], 0, 1
	default:
	}
	if part.Flags&syntax.NonGreedy != 0 || class.Flags&syntax.FoldCase != 0 {
		return nil, false
	}
	switch {
	case class.Op == syntax.OpCharClass:
		return []run{newRun(class.Rune, least, most)}, true
	case class.Op == syntax.OpLiteral && len(class.Rune) == 1:
		return []run{newRun([]rune{class.Rune[0], class.Rune[0]}, least, most)}, true
	case class.Op == syntax.OpLiteral && class == part:
		var runs []run
		for _, r := range class.Rune {
			runs = append(runs, newRun([]rune{r, r}, 1, 1))
		}
		return runs, true
	default:
		return nil, false
	}
}

func newRun(ranges []rune, least, most int) run {
	r := run{ranges: ranges, least: least, most: most}
	for c := range rune(utf8.RuneSelf) {
		r.ascii[c] = inRanges(ranges, c)
	}
	return r
}

// deterministic reports whether taking as much as possible is always right:
// a run of variable length must share no character with those that may follow it.
func (p fastPattern) deterministic() bool {
	for i := range p {
		if p[i].least == p[i].most {
			continue
		}
		for _, next := range p[i+1:] {
			if overlap(p[i].ranges, next.ranges) {
				return false
			}
			if next.least > 0 {
				break
			}
		}
	}
	return true
}

func overlap(a, b []rune) bool {
	for i := 0; i < len(a); i += 2 {
		for j := 0; j < len(b); j += 2 {
			if a[i] <= b[j+1] && b[j] <= a[i+1] {
				return true
			}
		}
	}
	return false
}

func (p fastPattern) match(cell string) bool {
	for i := range p {
		size, ok := p[i].take(cell)
		if !ok {
			return false
		}
		cell = cell[size:]
	}
	return cell == ""
}

// take returns how many bytes of the text the run covers.
func (r *run) take(text string) (int, bool) {
	size, count := 0, 0
	for size < len(text) && count != r.most {
		width := r.width(text[size:])
		if width == 0 {
			break
		}
		size, count = size+width, count+1
	}
	return size, count >= r.least
}

// width returns the size of the first character when it is of the class, else
// 0. A byte that is not UTF-8 counts as U+FFFD, as it does for regexp.
func (r *run) width(text string) int {
	if c := text[0]; c < utf8.RuneSelf {
		if r.ascii[c] {
			return 1
		}
		return 0
	}
	c, width := utf8.DecodeRuneInString(text)
	if !inRanges(r.ranges, c) {
		return 0
	}
	return width
}

func inRanges(ranges []rune, c rune) bool {
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i] <= c && c <= ranges[i+1] {
			return true
		}
	}
	return false
}
