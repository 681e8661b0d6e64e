package d1_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// simulated is our side of D1's contract against the simulator's.
type simulated struct {
	sim     *d1sim.Simulator
	client  *d1.Client
	encoder *d1.Encoder
}

func newSimulated(t *testing.T, settings d1sim.Settings) *simulated {
	t.Helper()
	keys, err := simkeys.New(testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	s := &simulated{}
	if s.sim, err = d1sim.New(d1sim.Config{Issuers: []d1sim.Issuer{keys.Issuer()}, Settings: settings, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.sim.Handler())
	t.Cleanup(func() { server.Close(); s.sim.Close() })
	s.client, err = d1.New(d1.Config{
		IssuerID: testIssuer, BaseURL: server.URL + "/banking/v1", TokenURL: server.URL + tokenPath,
		Token: d1.Token{KeyID: keys.JWTKeyID, Key: keys.JWTKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	s.encoder, err = d1.NewEncoder(d1.EncoderConfig{
		JWEKeys:  []d1.JWEKey{{ID: keys.JWEKeyID, Public: &keys.JWEKey.PublicKey}},
		Products: map[string]issuance.Product{product().ID: product()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *simulated) order(ctx context.Context, in cardholder.Instruction) (string, error) {
	body, err := s.encoder.Encode(in)
	if err != nil {
		return "", err
	}
	return s.client.Order(ctx, d1.Call{CardID: in.CardID, CorrelationID: "corr-1", Body: body})
}

// TestTheSimulatorTakesOurOrders: token, body and card data pass all its
// checks, and it tells us of the order afterwards.
func TestTheSimulatorTakesOurOrders(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, d1sim.Settings{})
	full := fullInstruction()
	full.OrderID, full.CardID = "ord-2", "card-2"
	for _, in := range []cardholder.Instruction{plainInstruction(), full} {
		id, err := s.order(t.Context(), in)
		if err != nil || id == "" {
			t.Fatalf("order %s: %q, %v", in.OrderID, id, err)
		}
		operations, err := s.client.ProductionStatus(t.Context(), in.CardID, "corr-2")
		if err != nil || len(operations) != 1 {
			t.Fatalf("status of %s: %v, %v", in.CardID, operations, err)
		}
		op := operations[0]
		if op.OperationID != id || op.IssuerRequestID != in.OrderID || op.CardID != in.CardID ||
			op.Operation != issuance.OperationProduce || op.StartTime.IsZero() || !op.Production.Known() {
			t.Errorf("status of %s: %+v", in.CardID, op)
		}
	}
	if n := len(s.sim.Ledger()); n != 2 {
		t.Errorf("%d orders in the ledger", n)
	}
}

func TestTheSimulatorNamesTheFieldInError(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, d1sim.Settings{})
	in := plainInstruction()
	in.Issuance = "NONSENSE"
	_, err := s.order(t.Context(), in)
	if e := retry.Of(err); e == nil || e.Class != retry.Refused || e.Status != http.StatusBadRequest ||
		e.Code != "FIELD_INVALID_VALUE" || e.Reason != "services.issuance" {
		t.Errorf("got %v", err)
	}
}

func TestTheSimulatorDoesNotKnowTheCard(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, d1sim.Settings{})
	operations, err := s.client.ProductionStatus(t.Context(), "card-none", "")
	if err != nil || len(operations) != 0 {
		t.Errorf("got %v, %v", operations, err)
	}
}

// TestARevokedToken is replaced without the order noticing.
func TestARevokedToken(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, d1sim.Settings{})
	if err := s.client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.sim.RevokeTokens()
	if _, err := s.order(t.Context(), plainInstruction()); err != nil {
		t.Error(err)
	}
}
