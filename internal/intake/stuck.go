package intake

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// maxNamed bounds how many stuck files a summary names and a run logs.
const maxNamed = 20

// unusableName is why a file is left alone that, once claimed, could be neither
// moved nor answered, and would be in the way of the issuer's other files.
const unusableName = "a file of such a name can be neither moved nor answered; rename it"

// visit is what one look at a source's directory showed.
type visit struct {
	at       time.Time
	entries  []drop.Entry
	there    map[string]drop.Entry
	seen     map[string]issuance.Sighting
	complete []drop.Entry
	waiting  map[string]string // what is not complete, and why
	worked   map[string]bool   // file names and batch ids dealt with since
}

// look lists the directory of a source, notes what was observed and sorts the
// files into complete and waiting ones.
func (s *Stage) look(ctx context.Context, src *Source) (*visit, error) {
	if _, err := path.Match(src.Pattern, ""); err != nil {
		return nil, fmt.Errorf("match pattern %q: %w", src.Pattern, err)
	}
	v := &visit{at: s.Now(), there: map[string]drop.Entry{}, waiting: map[string]string{}, worked: map[string]bool{}}
	var err error
	if v.entries, err = src.Drop.List(ctx, src.Directory); err != nil {
		return nil, fmt.Errorf("list %s: %w", src.Directory, err)
	}
	seen := make([]issuance.Observation, len(v.entries))
	stems := map[string]bool{}
	for i, e := range v.entries {
		v.there[e.Name] = e
		seen[i] = issuance.Observation{Name: e.Name, Size: e.Size, ModTime: e.ModTime}
		if r, _ := src.roleOf(e.Name); r == order {
			stems[strings.TrimSuffix(e.Name, path.Ext(e.Name))] = true
		}
	}
	if v.seen, err = s.Store.Observe(ctx, src.Name, seen); err != nil {
		return nil, fmt.Errorf("keep what was observed: %w", err)
	}
	for _, e := range v.entries {
		why := s.whyWaiting(src, v, e, stems)
		if why == unusableName {
			s.Logger.Error().Str("source", src.Name).Str("file", e.Name).Msg("left alone: " + why)
		}
		if r, _ := src.roleOf(e.Name); r == order && why == "" {
			v.complete = append(v.complete, e)
		} else if why != "" {
			v.waiting[e.Name] = why
		}
	}
	slices.SortFunc(v.complete, func(a, b drop.Entry) int { return byNumber(a.Name, b.Name) })
	return v, nil
}

// whyWaiting says why a file stays where it is, "" when nothing is odd about it.
func (s *Stage) whyWaiting(src *Source, v *visit, e drop.Entry, stems map[string]bool) string {
	r, base := src.roleOf(e.Name)
	_, there := v.there[base]
	switch {
	case r == order && !nameable(e.Name):
		return unusableName
	case r == order:
		return src.Completion.missing(e, v.there, v.seen, v.at)
	case r == control && !there:
		return "it is the control file of " + base + ", which is not there"
	case r == marker && src.Completion.MarkerOfStem && !stems[base], r == marker && !src.Completion.MarkerOfStem && !there:
		return "it is the marker of a file that is not there"
	case r == uploading:
		return "it still has the name of a file that is being written"
	case r == taken:
		return "it was taken and nothing has become of it: another program takes files here, " +
			"or the store is not the one that knew of it; under its own name it would be taken again"
	case r == foreign && !drop.Hidden(e.Name) && !s.expected(src, e.Name):
		return fmt.Sprintf("no source expects a file of this name; here it would be %s", src.Pattern)
	}
	return ""
}

// expected reports whether another source looks for a name in the same place,
// or will say itself that nobody does.
func (s *Stage) expected(src *Source, name string) bool {
	first := true
	for i := range s.Sources {
		other := &s.Sources[i]
		if other.Drop != src.Drop || other.Directory != src.Directory {
			continue
		}
		if r, _ := other.roleOf(name); r != foreign || first && other.Name != src.Name {
			return true
		}
		first = false
	}
	return false
}

// reportStuck counts and names what waits for too long, and logs each once a
// day of the source's time zone.
func (s *Stage) reportStuck(ctx context.Context, src *Source, v *visit, sum *Summary) error {
	if src.Completion.StuckAfter == 0 {
		return nil
	}
	var told []string
	for _, e := range v.entries {
		why, waits := v.waiting[e.Name]
		age := v.at.Sub(v.seen[e.Name].FirstSeen)
		_, batch, _ := splitTaken(e.Name)
		if !waits || v.worked[e.Name] || v.worked[batch] || age < src.Completion.StuckAfter {
			continue
		}
		if sum.Stuck++; len(sum.StuckFiles) < maxNamed {
			sum.StuckFiles = append(sum.StuckFiles, src.Name+": "+e.Name)
		}
		if reported := v.seen[e.Name].ReportedAt; len(told) < maxNamed && (reported.IsZero() || src.day(reported) != src.day(v.at)) {
			told = append(told, e.Name)
			s.Logger.Warn().Str("source", src.Name).Str("file", e.Name).Dur("duration", age).Msg("stuck: " + why)
		}
	}
	if len(told) == 0 {
		return nil
	}
	if err := s.Store.MarkReported(ctx, src.Name, told); err != nil {
		return fmt.Errorf("note what was reported: %w", err)
	}
	return nil
}

func (src *Source) day(t time.Time) string { return t.In(src.Location).Format(time.DateOnly) }
