package app_test

import (
	"errors"
	"testing"

	"cardbatch/internal/app"
	"cardbatch/internal/issuance"
)

// A second process dies in the middle of sending while the daemon lives: nobody
// starts again, and its orders must be asked about all the same.
func TestAnotherProcessDies(t *testing.T) {
	w := newWorld(t)
	a, _ := w.start(t)
	w.dropSample(t, "good.csv")
	if _, err := a.RunJob(t.Context(), "pickup", ""); err != nil && !errors.Is(err, app.ErrRejects) {
		t.Fatal(err)
	}
	other, err := app.OpenStore(t.Context(), w.cfg, false, nil)
	must(t, err)
	session, err := other.StartSession(t.Context(), "other")
	must(t, err)
	claims, err := other.ClaimReady(t.Context(), issuerID, session, 3)
	must(t, err)
	must(t, other.Close())
	if _, err := a.RunJob(t.Context(), "track", ""); err != nil {
		t.Fatal(err)
	}
	s, err := app.OpenStore(t.Context(), w.cfg, true, nil)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	for _, c := range claims {
		o, err := s.OrderByRef(t.Context(), c.Ref)
		must(t, err)
		if o.State != issuance.Unknown {
			t.Errorf("order %s is %s", o.OrderID, o.State)
		}
	}
	if len(claims) != 3 {
		t.Errorf("%d orders were claimed", len(claims))
	}
}
