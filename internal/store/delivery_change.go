package store

import (
	"context"
	"fmt"

	"cardbatch/internal/issuance"
)

// RenameDelivery gives a file that is still owed another revision and name,
// because a stranger's file has its name at the destination. A name that the
// destination has already is ErrNameTaken; a delivery that was made
// is ErrOutOfState, an unknown one ErrNotFound.
func (s *Store) RenameDelivery(ctx context.Context, id int64, revision int, name string) error {
	return s.write(ctx, "rename delivery", func(t *tx) error {
		found, err := list(t, scanDelivery, `SELECT `+deliveryColumns+` FROM delivery WHERE id = $1`, id)
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return ErrNotFound
		case !found[0].DeliveredAt.IsZero():
			return fmt.Errorf("%w: %s is delivered", issuance.ErrOutOfState, found[0].Name)
		}
		_, err = t.exec(`UPDATE delivery SET revision = $1, name = $2 WHERE id = $3`, revision, name, id)
		if isUnique(err) {
			return ErrNameTaken
		}
		return err
	})
}

// CoverDeliveries notes that nothing has changed in what the given files tell
// up to an event, so that nobody has to look at the events before it again.
// It never takes a file back to an earlier event.
func (s *Store) CoverDeliveries(ctx context.Context, ids []int64, upTo int64) error {
	return s.write(ctx, "cover deliveries", func(t *tx) error {
		for _, id := range ids {
			if _, err := t.exec(`UPDATE delivery SET up_to_event = $1 WHERE id = $2 AND up_to_event < $1`, upTo, id); err != nil {
				return err
			}
		}
		return nil
	})
}
