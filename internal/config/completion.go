package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Completion is how a source shows that an order file is complete. It is
// written as one of the words control, marker, renamed and quiet, or as a
// group of the keys below; everything that is set there must hold, and one of
// control, markers, renamed and quiet must be.
type Completion struct {
	// Control waits for the control file <name>.ctl, written last.
	Control bool `yaml:"control"`
	// Markers waits for an empty file <name>.done, for example; each is such a
	// suffix, and one of them is enough. It is archived with the order file.
	// Default for the word marker: .done and .ok.
	Markers []string `yaml:"markers"`
	// MarkerOf is name, for cards.csv.done, or stem, for cards.done. Default: name.
	MarkerOf string `yaml:"marker_of"`
	// Renamed says that the producer writes under another name and renames:
	// a file is complete as soon as it has its name.
	Renamed bool `yaml:"renamed"`
	// Quiet waits until the size and time of a file stay the same for a number
	// of Observations of its source.
	Quiet bool `yaml:"quiet"`
	// QuietFor is how much time those observations must span, by our clock,
	// with quiet. Default: 1m.
	QuietFor time.Duration `yaml:"quiet_for"`
	// MinSize is the least size of a file. Default: none.
	MinSize Size `yaml:"min_size"`
	// IgnoreSuffixes end the names of files that are still being written. Names
	// that begin with a dot always are. Default: .tmp, .part, .filepart.
	IgnoreSuffixes []string `yaml:"ignore_suffixes"`
	// StuckAfter is for how long a file may wait to be complete, or a control
	// file or marker for its order file, before it is reported. Default: 4h.
	StuckAfter time.Duration `yaml:"stuck_after"`
}

// The words for a completion, and what markers may be named after.
const (
	completeByControl = "control"
	completeByMarker  = "marker"
	completeByRename  = "renamed"
	completeByQuiet   = "quiet"
	markerOfName      = "name"
	markerOfStem      = "stem"
)

// UnmarshalText implements [encoding.TextUnmarshaler] for the words.
func (m *Completion) UnmarshalText(b []byte) error {
	switch string(b) {
	case completeByControl:
		m.Control = true
	case completeByMarker:
		m.Markers = []string{".done", ".ok"}
	case completeByRename:
		m.Renamed = true
	case completeByQuiet:
		m.Quiet = true
	default:
		return fmt.Errorf("%q is not one of control, marker, renamed, quiet, or a group of keys", b)
	}
	return nil
}

// MarkerOfStem reports whether markers are named after the stem.
func (m *Completion) MarkerOfStem() bool { return m.MarkerOf == markerOfStem }

func (m *Completion) any() bool { return m.Control || m.Renamed || m.Quiet || len(m.Markers) > 0 }

func (s *Source) checkCompletion(c checker, key string) {
	m, k := &s.Completion, key+".completion"
	switch {
	case !c.Has(k):
		m.Control = true
	case !m.any():
		c.Problem(k, "needs control, markers, renamed or quiet: nothing would show that a file is complete")
	}
	if !m.Quiet {
		for _, only := range []string{key + ".observations", k + ".quiet_for"} {
			if c.Has(only) {
				c.Problem(only, "is for completion quiet only")
			}
		}
	}
	or(c, key+".observations", &s.Observations, 3)
	or(c, k+".quiet_for", &m.QuietFor, time.Minute)
	or(c, k+".stuck_after", &m.StuckAfter, 4*time.Hour)
	or(c, key+".give_up_after", &s.GiveUpAfter, 24*time.Hour)
	if m.MinSize > s.MaxSize {
		c.Problem(k+".min_size", "is more than max_size, %d bytes", s.MaxSize)
	}
	if c.Has(k+".marker_of") && len(m.Markers) == 0 {
		c.Problem(k+".marker_of", "is for markers only")
	}
	orText(&m.MarkerOf, markerOfName)
	c.oneOf(k+".marker_of", m.MarkerOf, markerOfName, markerOfStem)
	if !c.Has(k + ".ignore_suffixes") {
		m.IgnoreSuffixes = []string{".tmp", ".part", ".filepart"}
	}
	m.checkSuffixes(c, k+".ignore_suffixes", m.IgnoreSuffixes)
	m.checkSuffixes(c, k+".markers", m.Markers)
	for i, marker := range m.Markers {
		if slices.Contains(m.IgnoreSuffixes, marker) {
			c.Problem(at(k+".markers", i), "%q is also one of ignore_suffixes", marker)
		}
		if ok, err := path.Match(s.Pattern, "x"+marker); err == nil && ok && m.MarkerOfStem() {
			c.Problem(at(k+".markers", i), "%q would make an order file of pattern %q a marker", marker, s.Pattern)
		}
	}
}

func (m *Completion) checkSuffixes(c checker, key string, suffixes []string) {
	for i, suffix := range suffixes {
		if len(suffix) < 2 || strings.Contains(suffix, "/") {
			c.Problem(at(key, i), "%q is not a suffix of file names such as .done", suffix)
		}
		if suffix == ".ctl" {
			c.Problem(at(key, i), "%q is the suffix of control files", suffix)
		}
	}
}
