package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"cardbatch/internal/issuance"
)

// checkSequence looks for a gap before the file. A lower number than the last
// closes one, if somebody has let later files pass.
func (s *Stage) checkSequence(ctx context.Context, src *Source, sequence int64) (verdict, error) {
	last, err := s.Store.LastSequence(ctx, src.Name)
	if err != nil {
		return verdict{}, fmt.Errorf("look up the last sequence: %w", err)
	}
	strict := src.Sequence == SequenceStrict
	switch {
	case last == 0, sequence == last+1, strict && sequence < last:
		return accept(), nil
	case strict:
		return verdict{issuance.BatchHeld, issuance.SequenceGap, fmt.Sprintf(
			"sequence %d is missing, and this is %d: held until it arrives or an operator releases this file", last+1, sequence)}, nil
	default:
		return verdict{issuance.BatchAccepted, issuance.SequenceGap, fmt.Sprintf(
			"sequence %d was expected after %d, and this is %d", last+1, last, sequence)}, nil
	}
}

// releaseHeld takes the held files whose turn has come, one after the other: the
// missing file has arrived, or an operator has let one pass. Files may be held
// even if the source does not hold any now: they came when it did.
func (s *Stage) releaseHeld(ctx context.Context, src *Source, sum *Summary) error {
	held, err := s.Store.HeldFiles(ctx, src.Name)
	if err != nil || len(held) == 0 {
		return err
	}
	last, err := s.Store.LastSequence(ctx, src.Name)
	if err != nil {
		return fmt.Errorf("look up the last sequence: %w", err)
	}
	slices.SortFunc(held, func(a, b issuance.Batch) int { return cmp.Compare(sequenceOf(a), sequenceOf(b)) })
	for _, b := range held {
		if b.Code != issuance.SequenceGap || sequenceOf(b) > last+1 {
			continue
		}
		why := issuance.Why{At: s.Now(), Stage: "intake", Session: s.Session,
			Reason: "was held for a missing file; " + whatCame(last, sequenceOf(b))}
		err := s.Store.DecideBatch(ctx, b, issuance.BatchAccepted, why)
		if errors.Is(err, issuance.ErrOutOfState) {
			continue // an operator was faster
		}
		if err != nil {
			return fmt.Errorf("release %s: %w", b.FileName, err)
		}
		sum.Released++
		s.Logger.Info().Str("source", src.Name).Str("batch", b.ID).Str("file", b.FileName).Msg("file released: " + whatCame(last, sequenceOf(b)))
		last = max(last, sequenceOf(b))
	}
	return nil
}

// whatCame says why a held file need not wait any more. A file may be missing
// before it all the same, when somebody has let a later one pass.
func whatCame(last, sequence int64) string {
	if last > sequence {
		return fmt.Sprintf("sequence %d, which is later, was let pass", last)
	}
	return fmt.Sprintf("sequence %d is there now", sequence-1)
}

func sequenceOf(b issuance.Batch) int64 {
	if b.Control == nil {
		return 0
	}
	return b.Control.Sequence
}
