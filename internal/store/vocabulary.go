package store

import (
	"context"

	"cardbatch/internal/issuance"
)

// maxWords bounds how many words of a kind are kept of an issuer; D1 may put
// anything there. What goes beyond is counted under otherWords.
const (
	maxWords   = 200
	otherWords = "(other)"
)

// noteStrange counts the words of an operation that have no meaning for us.
func (t *tx) noteStrange(issuerID string, op *issuance.Operation, why issuance.Why) (n int, err error) {
	for kind, word := range op.Strange() {
		n++
		changed, err := t.exec(`UPDATE vocabulary SET times = times + 1, last_at = $1 WHERE issuer_id = $2 AND kind = $3 AND word = $4`,
			micros(why.At), issuerID, string(kind), word)
		if err != nil {
			return n, err
		}
		if changed > 0 {
			continue
		}
		var known int
		if _, err := one(t, []any{&known}, `SELECT count(*) FROM vocabulary WHERE issuer_id = $1 AND kind = $2`, issuerID, string(kind)); err != nil {
			return n, err
		}
		if known >= maxWords {
			word = otherWords
		}
		if _, err := t.exec(`INSERT INTO vocabulary (issuer_id, kind, word, times, first_at, last_at) VALUES ($1, $2, $3, 1, $4, $5)
			ON CONFLICT (issuer_id, kind, word) DO UPDATE SET times = times + 1, last_at = excluded.last_at`,
			issuerID, string(kind), word, micros(why.At), micros(why.At)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// StrangeWords returns the words of D1's about an issuer's cards that have no
// meaning for us, by kind, the most frequent first.
func (s *Store) StrangeWords(ctx context.Context, issuerID string) ([]issuance.StrangeWord, error) {
	words, err := list(s.reader(ctx), func(row scanner) (w issuance.StrangeWord, err error) {
		var first, last int64
		err = row.Scan(&w.Kind, &w.Word, &w.Times, &first, &last)
		w.FirstAt, w.LastAt = fromMicros(first), fromMicros(last)
		return w, err
	}, `SELECT kind, word, times, first_at, last_at FROM vocabulary WHERE issuer_id = $1 ORDER BY kind, times DESC, word`, issuerID)
	return words, wrap("read strange words", err)
}
