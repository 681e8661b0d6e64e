package store

import (
	"context"
	"fmt"

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

// Observe notes what a listing of a source's drop showed and returns for each
// file how many observations in a row, this one included, saw it with the same
// size and time. Files that are not listed are forgotten.
func (s *Store) Observe(ctx context.Context, source string, seen []issuance.Observation) (map[string]int, error) {
	counts := make(map[string]int, len(seen))
	err := s.write(ctx, "observe files", func(t *tx) error {
		before := map[string]issuance.Observation{}
		err := each(t, func(row scanner) error {
			var o issuance.Observation
			var at int64
			var n int
			err := row.Scan(&o.Name, &o.Size, &at, &n)
			o.ModTime = fromMicros(at)
			before[o.Name], counts[o.Name] = o, n
			return err
		}, `SELECT name, size, mod_time, seen FROM observation WHERE source = $1`, source)
		if err != nil {
			return err
		}
		for _, o := range seen {
			was, ok := before[o.Name]
			delete(before, o.Name)
			n := 1
			if ok && was.Size == o.Size && micros(was.ModTime) == micros(o.ModTime) {
				n = min(counts[o.Name]+1, maxSeen)
			}
			if n == maxSeen && counts[o.Name] == n {
				continue
			}
			counts[o.Name] = n
			if _, err := t.exec(`INSERT INTO observation (source, name, size, mod_time, seen) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (source, name) DO UPDATE SET size = excluded.size, mod_time = excluded.mod_time, seen = excluded.seen`,
				source, o.Name, o.Size, micros(o.ModTime), n); err != nil {
				return err
			}
		}
		for name := range before {
			delete(counts, name)
			if _, err := t.exec(`DELETE FROM observation WHERE source = $1 AND name = $2`, source, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}
