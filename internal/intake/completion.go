package intake

import (
	"fmt"
	"path"
	"strings"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// Completion says how a source shows that a file is complete. All that is set
// must hold. Without anything set, a file is complete as soon as it has its
// name: its producer renames it when it has written it.
type Completion struct {
	// Control waits for a control file <name>.ctl, written last.
	Control bool
	// Markers are suffixes, such as .done: one file <name><suffix>, or with
	// MarkerOfStem <name without extension><suffix>, must be there. It is
	// archived with the order file.
	Markers      []string
	MarkerOfStem bool
	// Observations in a row must have seen the same size and time of the file
	// and of its control file, the first at least QuietFor ago by our clock.
	Observations int
	QuietFor     time.Duration
	// MinSize is the least number of bytes of a file.
	MinSize int64
	// Ignore are suffixes of names that are still being written. Names that
	// begin with a dot are always ignored.
	Ignore []string
	// StuckAfter is for how long a file may wait to be complete before somebody
	// is told; 0 means for ever.
	StuckAfter time.Duration
}

// role is what a name in the directory of a source stands for.
type role int

const (
	foreign   role = iota // nothing of this source
	order                 // an order file
	control               // the control file of one
	marker                // its marker
	uploading             // something that is still being written
	taken                 // taken already, by us or by another
)

// roleOf tells a name's role and, for all but orders, the name of the order
// file it belongs to, as far as it says.
func (src *Source) roleOf(name string) (role, string) {
	c := &src.Completion
	if drop.Hidden(name) {
		if own, _, ok := splitTaken(name); ok {
			if r, base := src.roleOf(own); r != foreign {
				return taken, base
			}
			return foreign, ""
		}
		if base := strings.TrimPrefix(c.finalName(name), "."); src.matches(base) {
			return uploading, base
		}
		return foreign, ""
	}
	if base := c.finalName(name); base != name {
		if src.matches(base) {
			return uploading, base
		}
		return foreign, ""
	}
	if base, ok := strings.CutSuffix(name, controlSuffix); ok && c.Control {
		if src.matches(base) {
			return control, base
		}
		return foreign, ""
	}
	for _, suffix := range c.Markers {
		if base, ok := strings.CutSuffix(name, suffix); ok && (c.MarkerOfStem || src.matches(base)) {
			return marker, base
		}
	}
	if src.matches(name) {
		return order, name
	}
	return foreign, ""
}

// finalName is the name without the suffixes of an upload.
func (c *Completion) finalName(name string) string {
	for _, suffix := range c.Ignore {
		if base, ok := strings.CutSuffix(name, suffix); ok && base != "" {
			return base
		}
	}
	return name
}

func (src *Source) matches(name string) bool {
	ok, err := path.Match(src.Pattern, name)
	return ok && err == nil && name != ""
}

// markerNames are the names that a marker of an order file may have.
func (c *Completion) markerNames(name string) []string {
	if c.MarkerOfStem {
		name = strings.TrimSuffix(name, path.Ext(name))
	}
	names := make([]string, len(c.Markers))
	for i, suffix := range c.Markers {
		names[i] = name + suffix
	}
	return names
}

// missing says what an order file lacks to be complete, "" for nothing.
func (c *Completion) missing(e drop.Entry, there map[string]drop.Entry, seen map[string]issuance.Sighting, now time.Time) string {
	if e.Size < c.MinSize {
		return fmt.Sprintf("it has %d bytes, fewer than the %d of min_size", e.Size, c.MinSize)
	}
	if c.Control {
		// An empty one has been created and not yet written.
		if ctl := e.Name + controlSuffix; there[ctl].Size == 0 {
			return "there is no control file " + ctl
		}
	}
	if names := c.markerNames(e.Name); len(names) > 0 && !anyThere(names, there) {
		return "there is no marker " + strings.Join(names, " or ")
	}
	if !c.quiet(seen[e.Name], now) {
		return "its size or time changed a short while ago"
	}
	if c.Control && !c.quiet(seen[e.Name+controlSuffix], now) {
		return "its control file changed a short while ago"
	}
	return ""
}

// Sort counts the order files of a listing that have all they need to be taken,
// and those that still lack something. Whether they are quiet it cannot know.
func (c Completion) Sort(pattern string, entries []drop.Entry) (complete, waiting int64) {
	c.Observations = 0
	src := &Source{Pattern: pattern, Completion: c}
	there := map[string]drop.Entry{}
	for _, e := range entries {
		there[e.Name] = e
	}
	for _, e := range entries {
		if r, _ := src.roleOf(e.Name); r != order {
			continue
		}
		if c.missing(e, there, nil, time.Time{}) == "" {
			complete++
		} else {
			waiting++
		}
	}
	return complete, waiting
}

// quiet reports whether a file was seen unchanged often and long enough.
func (c *Completion) quiet(s issuance.Sighting, now time.Time) bool {
	return c.Observations == 0 || s.Times >= c.Observations && now.Sub(s.Since) >= c.QuietFor
}

func anyThere(names []string, there map[string]drop.Entry) bool {
	for _, name := range names {
		if _, ok := there[name]; ok {
			return true
		}
	}
	return false
}
