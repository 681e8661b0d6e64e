package d1

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/retry"
)

// DefaultUpdatePath is where changes of orders go below the base URL. D1 does
// not publish it; the form is that of ordering.
const DefaultUpdatePath = "/issuers/{issuerId}/physicalCards/{cardId}/operations:updateOrder"

// wireChange is the body of a change as D1 reads it.
type wireChange struct {
	Type               string       `json:"type"`
	NewDeliveryAddress *wireAddress `json:"newDeliveryAddress,omitempty"`
}

// EncodeChange returns the complete body of a change of an order.
func (e *Encoder) EncodeChange(in cardholder.ChangeInstruction) ([]byte, error) {
	change := wireChange{Type: in.Change}
	if !in.Address.IsZero() {
		address := newWireAddress(&in.Address)
		change.NewDeliveryAddress = &address
	}
	body, err := json.Marshal(change)
	if err != nil {
		return nil, fmt.Errorf("encode change: %w", err)
	}
	return body, nil
}

// ChangeCountry returns the country of the new address in the body of a change,
// empty when there is none.
func ChangeCountry(change []byte) (string, error) {
	var c wireChange
	if err := strict(change, &c); err != nil {
		return "", fmt.Errorf("read change: %w", err)
	}
	if c.NewDeliveryAddress == nil {
		return "", nil
	}
	return c.NewDeliveryAddress.CountryCode, nil
}

// Amend makes a change in the body of an order that was not sent: the new
// address and, unless it is empty, another priority. The address printed on the
// carrier follows when it was the old delivery address, as it is unless the
// order said otherwise. What it cannot read completely it does not change.
func Amend(order, change []byte, priority string) ([]byte, error) {
	var o wireOrder
	var c wireChange
	if err := strict(order, &o); err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	if err := strict(change, &c); err != nil {
		return nil, fmt.Errorf("read change: %w", err)
	}
	if a := c.NewDeliveryAddress; a != nil {
		if o.Shipment.IndividualAddress == o.Shipment.DeliveryAddress {
			o.Shipment.IndividualAddress = *a
		}
		o.Shipment.DeliveryAddress = *a
	}
	if priority != "" {
		o.Services.Priority = priority
	}
	body, err := json.Marshal(o)
	if err != nil {
		return nil, errors.New("encode the changed order") // the cause may repeat a value
	}
	return body, nil
}

var errBody = errors.New("it is not a body of ours")

// strict reads a body of our own making. Its error says nothing of the body.
func strict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errBody
	}
	return nil
}

// Update asks D1 to change an order: call.Body is from [Encoder.EncodeChange].
// Without an error D1 has taken the request; what the center makes of it comes
// as news of an UPDATE_ORDER operation. Every error is a [retry.Error]. An
// answer of D1's gate that there is no such path stops everything: it is the
// configured path that is wrong, and no order is to blame.
func (c *Client) Update(ctx context.Context, call Call) (string, error) {
	if !cardIDPattern.MatchString(call.CardID) {
		return "", &retry.Error{Class: retry.Refused, Code: codeBadCardID, Reason: "not sent"}
	}
	a, err := c.call(ctx, message{
		method:        http.MethodPost,
		url:           strings.ReplaceAll(c.updates, "{cardId}", call.CardID),
		correlationID: call.CorrelationID,
		body:          call.Body,
		limit:         maxErrorBody,
	})
	if err != nil {
		return "", err
	}
	id, err := c.accepted(a)
	if e := retry.Of(err); err != nil && e.Class == retry.Refused && noSuchPath(e) {
		stop := *e
		stop.Class, stop.Reason = retry.Stop, "is update_path right?"
		return "", &stop
	}
	return id, err
}

// noSuchPath reports whether the answer is about the path rather than the order:
// D1's own answers have a code of its own.
func noSuchPath(e *retry.Error) bool {
	about := e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed
	return about && strings.HasPrefix(e.Code, "HTTP_")
}
