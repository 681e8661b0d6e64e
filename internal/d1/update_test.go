package d1_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

func newStreet() cardholder.Address {
	text := cardholder.NewText
	return cardholder.Address{LastName: text("Umgezogen"), Line1: text("7 Chemin du Nouveau"), City: text("Oyonnax"), ZipCode: text("01100"), CountryCode: text("FR")}
}

func TestUpdateIsSentAsD1WantsIt(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/x/{cardId}/of/{issuerId}"} {
		want := "/banking/v1/issuers/is_test001/physicalCards/card-1/operations:updateOrder"
		if path != "" {
			want = "/banking/v1/x/card-1/of/is_test001"
		}
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got := []string{r.Method, r.URL.Path, r.Header.Get("X-Correlation-Id"), string(body)}
			if diff := cmp.Diff([]string{"POST", want, "corr-1", `{"issuerRequestId":"ord-1"}`}, got); diff != "" {
				t.Error(diff)
			}
			says(http.StatusAccepted, `{"operationId":"up-1"}`)(w, r)
		})
		id, err := f.client(t, func(c *d1.Config) { c.UpdatePath = path }).Update(t.Context(), call())
		if err != nil || id != "up-1" {
			t.Errorf("got %q, %v", id, err)
		}
	}
}

// An answer that there is no such path is about our configuration; one that
// there is no such card is about the card.
func TestUpdateAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		body   string
		want   retry.Class
	}{
		{404, `<html>`, retry.Stop}, {404, `{}`, retry.Stop}, {405, ``, retry.Stop},
		{404, `{"errorCode":"CARD_NOT_FOUND"}`, retry.Refused}, {400, `{}`, retry.Refused}, {403, `{"errorCode":"STAGE_TOO_LATE"}`, retry.Refused},
		{500, ``, retry.Unknown}, {429, ``, retry.NotDone}, {202, `<html>`, retry.Unknown},
	} {
		f := newFake(t, says(tc.status, tc.body))
		_, err := f.client(t).Update(t.Context(), call())
		if e := retry.Of(err); err == nil || e.Class != tc.want {
			t.Errorf("%d %s: %v", tc.status, tc.body, err)
		}
	}
	f := newFake(t, says(202, `{}`))
	bad := call()
	bad.CardID = "../card"
	if _, err := f.client(t).Update(t.Context(), bad); err == nil || retry.Of(err).Class != retry.Refused || f.orders.Load() != 0 {
		t.Errorf("a bad card: %v, %d sent", err, f.orders.Load())
	}
}

func TestEncodeChange(t *testing.T) {
	t.Parallel()
	e := &d1.Encoder{}
	for want, in := range map[string]cardholder.ChangeInstruction{
		`{"type":"CANCEL"}`: {OrderID: "o", Change: "CANCEL"},
		`{"type":"REDIRECT","newDeliveryAddress":{"lastName":"Umgezogen","line1":"7 Chemin du Nouveau","city":"Oyonnax","zipCode":"01100","countryCode":"FR"}}`: {Change: "REDIRECT", Address: newStreet()},
	} {
		got, err := e.EncodeChange(in)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
		country, err := d1.ChangeCountry(got)
		if err != nil || country != in.Address.CountryCode.Reveal() {
			t.Errorf("country %q, %v", country, err)
		}
	}
}

func TestAmend(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, d1sim.Settings{})
	change, err := s.encoder.EncodeChange(cardholder.ChangeInstruction{Change: "REDIRECT", Address: newStreet()})
	if err != nil {
		t.Fatal(err)
	}
	in := fullInstruction()
	body, err := s.encoder.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	same := in
	same.IndividualAddress = cardholder.Address{}
	bodyOfOne, err := s.encoder.Encode(same)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		order []byte
		count int // how often the new street is in it
	}{"carrier with an address of its own": {body, 1}, "one address": {bodyOfOne, 2}} {
		got, err := d1.Amend(tc.order, change, "URGENT")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(got), "Chemin du Nouveau"); n != tc.count || !strings.Contains(string(got), `"priority":"URGENT"`) {
			t.Errorf("%s: the new street %d times", name, n)
		}
		same, err := d1.Amend(tc.order, []byte(`{"type":"ACCELERATE"}`), "")
		if err != nil || string(same) != string(tc.order) {
			t.Errorf("%s: it changes what nobody has asked for: %v", name, err)
		}
	}
	for _, bad := range [][2]string{{"x", string(change)}, {string(body), "x"}, {`{"new":1}`, string(change)}, {string(body), `{"type":"REDIRECT","to":"Umgezogen"}`}} {
		if got, err := d1.Amend([]byte(bad[0]), []byte(bad[1]), ""); err == nil || strings.Contains(fmt.Sprint(err), "Umgezogen") {
			t.Errorf("%s, %v", got, err)
		}
	}
	if _, err := d1.ChangeCountry([]byte(`{"type":1}`)); err == nil {
		t.Error("no error")
	}
}

// The simulator takes our changes, and lists them beside the production.
func TestUpdateAgainstTheSimulator(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, d1sim.Settings{})
	in := fullInstruction()
	if _, err := s.order(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	change, err := s.encoder.EncodeChange(cardholder.ChangeInstruction{Change: "ACCELERATE_AND_REDIRECT", Address: newStreet()})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.client.Update(t.Context(), d1.Call{CardID: in.CardID, Body: change})
	if err != nil {
		t.Fatal(err)
	}
	operations, err := s.client.ProductionStatus(t.Context(), in.CardID, "")
	if err != nil || len(operations) != 2 || operations[1].OperationID != id || operations[1].Operation != issuance.OperationUpdateOrder ||
		operations[1].Status != issuance.OperationSuccessful || operations[1].IssuerRequestID != in.OrderID {
		t.Errorf("%+v, %v", operations, err)
	}
}
