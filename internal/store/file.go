package store

import (
	"context"
	"fmt"
	"time"

	"cardbatch/internal/issuance"
)

// MarkArchived notes where the original of a decided batch was moved to.
func (s *Store) MarkArchived(ctx context.Context, no issuance.BatchNo, where string) error {
	return s.write(ctx, "mark archived", func(t *tx) error {
		_, err := t.exec(`UPDATE batch SET archived = $1 WHERE no = $2`, where, int64(no))
		return err
	})
}

// UnarchivedBatches returns the decided batches of a source whose original has
// not been moved yet.
func (s *Store) UnarchivedBatches(ctx context.Context, source string) ([]issuance.Batch, error) {
	all, err := batches(s.reader(ctx), `WHERE b.archived = '' AND b.source = $1 AND b.state <> 'loading' ORDER BY b.no`, source)
	if err != nil {
		return nil, fmt.Errorf("look for unarchived batches: %w", err)
	}
	return all, nil
}

// PriorFile returns the newest decided and not refused batch of a source that
// has the given name, content or sequence.
func (s *Store) PriorFile(ctx context.Context, source string, by issuance.PriorKey) (issuance.Batch, bool, error) {
	column, value := "file_name", any(by.Name)
	switch {
	case by.SHA256 != "":
		column, value = "sha256", by.SHA256
	case by.Sequence != 0:
		column, value = "sequence", by.Sequence
	}
	found, err := batches(s.reader(ctx), `WHERE b.source = $1 AND b.`+column+` = $2
		AND b.state NOT IN ('loading', 'refused') ORDER BY b.no DESC LIMIT 1`, source, value)
	if err != nil || len(found) == 0 {
		return issuance.Batch{}, false, wrap("look for a prior file", err)
	}
	return found[0], true, nil
}

// LastSequence returns the highest sequence of a source's files that were taken,
// 0 when there is none. Held files are not taken yet: their turn is to come.
func (s *Store) LastSequence(ctx context.Context, source string) (last int64, err error) {
	_, err = one(s.reader(ctx), []any{&last}, `SELECT coalesce(max(sequence), 0) FROM batch
		WHERE source = $1 AND sequence > 0 AND state NOT IN ('loading', 'refused', 'held')`, source)
	return last, wrap("look for the last sequence", err)
}

// HeldFiles returns the held batches of a source, oldest first.
func (s *Store) HeldFiles(ctx context.Context, source string) ([]issuance.Batch, error) {
	return s.Batches(ctx, issuance.BatchFilter{Source: source, States: []issuance.BatchState{issuance.BatchHeld}})
}

// maxSeen is where counting observations ends; nobody waits for more.
const maxSeen = 1000

// Observe notes what a listing of a source's drop showed, and returns what the
// observations of each file come to, this one included. Files that are not
// listed are forgotten.
func (s *Store) Observe(ctx context.Context, source string, seen []issuance.Observation) (map[string]issuance.Sighting, error) {
	var sightings map[string]issuance.Sighting
	err := s.write(ctx, "observe files", func(t *tx) error {
		before, err := t.observed(source)
		if err != nil {
			return err
		}
		sightings = make(map[string]issuance.Sighting, len(seen))
		for _, o := range seen {
			now, changed := before[o.Name].next(o, t.now)
			delete(before, o.Name)
			sightings[o.Name] = now.Sighting
			if !changed {
				continue
			}
			if _, err := t.exec(`INSERT INTO observation (source, name, size, mod_time, seen, first_seen, unchanged_since, reported_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
				ON CONFLICT (source, name) DO UPDATE SET size = excluded.size, mod_time = excluded.mod_time, seen = excluded.seen,
					first_seen = excluded.first_seen, unchanged_since = excluded.unchanged_since`,
				source, o.Name, o.Size, micros(o.ModTime), now.Times, micros(now.FirstSeen), micros(now.Since), micros(now.ReportedAt)); err != nil {
				return err
			}
		}
		for name := range before {
			if _, err := t.exec(`DELETE FROM observation WHERE source = $1 AND name = $2`, source, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sightings, nil
}

// MarkReported notes that a person was told of files that do not complete.
func (s *Store) MarkReported(ctx context.Context, source string, names []string) error {
	return s.write(ctx, "mark reported", func(t *tx) error {
		for _, name := range names {
			if _, err := t.exec(`UPDATE observation SET reported_at = $1 WHERE source = $2 AND name = $3`, micros(t.now), source, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// observation is a file as it was last observed.
type observation struct {
	issuance.Observation
	issuance.Sighting
}

func (t *tx) observed(source string) (map[string]observation, error) {
	found := map[string]observation{}
	err := each(t, func(row scanner) error {
		var o observation
		var mod, first, since, reported int64
		err := row.Scan(&o.Name, &o.Size, &mod, &o.Times, &first, &since, &reported)
		o.ModTime, o.FirstSeen, o.Since, o.ReportedAt = fromMicros(mod), fromMicros(first), fromMicros(since), fromMicros(reported)
		found[o.Name] = o
		return err
	}, `SELECT name, size, mod_time, seen, first_seen, unchanged_since, reported_at FROM observation WHERE source = $1`, source)
	return found, err
}

// next is the observation that follows, and whether it says anything new. The
// zero value is that of a file not seen before.
func (o observation) next(seen issuance.Observation, now time.Time) (observation, bool) {
	n := observation{Observation: seen, Sighting: o.Sighting}
	n.ModTime = fromMicros(micros(seen.ModTime)) // as it is stored
	if n.FirstSeen.IsZero() {
		n.FirstSeen = now
	}
	if o.Times > 0 && o.Size == n.Size && o.ModTime.Equal(n.ModTime) {
		n.Times = min(o.Times+1, maxSeen)
	} else {
		n.Times, n.Since = 1, now
	}
	if n.Since.IsZero() { // observed by a program that did not keep it
		n.Since = now
	}
	return n, n != o
}
