package d1

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"cardbatch/internal/retry"
)

// wireBatchAnswer is the answer to a batch order, as far as it can be guessed.
type wireBatchAnswer struct {
	OperationID looseText  `json:"operationId"`
	ErrorCode   looseText  `json:"errorCode"`
	Error       looseText  `json:"error"`
	Operations  batchItems `json:"operations"`
	Cards       batchItems `json:"cards"`
}

// batchItem is what an answer says of one card.
type batchItem struct {
	CardID          looseText `json:"cardId"`
	IssuerRequestID looseText `json:"issuerRequestId"`
	OperationID     looseText `json:"operationId"`
	Status          looseText `json:"status"`
	ErrorCode       looseText `json:"errorCode"`
	Error           looseText `json:"error"`
}

// batchItems is a list of them. What is not an object counts as an item that
// says nothing.
type batchItems struct {
	given bool
	items []batchItem
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *batchItems) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	l.given = true
	if json.Unmarshal(b, &l.items) == nil { // the usual case, at once
		return nil
	}
	var raw []json.RawMessage
	_ = json.Unmarshal(b, &raw) // what is not a list names nobody
	l.items = make([]batchItem, len(raw))
	for i := range raw {
		if json.Unmarshal(raw[i], &l.items[i]) != nil {
			l.items[i] = batchItem{}
		}
	}
	return nil
}

// read says what an answer means for the orders of a batch. Acceptance and
// refusal must be proven; all else is Unknown.
func (b *Batches) read(a answer, orders []BatchOrder) (BatchReply, error) {
	var body *wireBatchAnswer
	if json.Unmarshal(a.body, &body) != nil {
		body = nil
	}
	said := a.status >= 200 && a.status <= 299
	if !said {
		e := b.wholeFailure(a)
		if e.Class == retry.Refused && body == nil && torn(a) {
			return BatchReply{}, &retry.Error{Class: retry.Unknown, Status: a.status, Code: codeUnclear}
		}
		if e.Class != retry.Refused || body == nil || !b.contradicts(body) {
			return BatchReply{}, e
		}
	}
	switch {
	case body == nil:
		if b.answer == BatchAsAWhole && a.status == http.StatusAccepted && len(bytes.TrimSpace(a.body)) == 0 {
			return acceptAll(orders), nil
		}
	case len(body.Operations.items)+len(body.Cards.items) > 0:
		return readItems(a.status, append(body.Operations.items, body.Cards.items...), orders, b.client.cfg.Policy), nil
	case body.Operations.given, body.Cards.given, body.ErrorCode != "", b.answer == BatchPerCard:
	case a.status == http.StatusAccepted, identifier(string(body.OperationID)) != "":
		return acceptAll(orders), nil
	}
	return BatchReply{}, &retry.Error{Class: retry.Unknown, Status: a.status, Code: codeUnclear}
}

// torn reports whether an answer that does not parse may have been a list once.
func torn(a answer) bool {
	return a.cut || bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("{"))
}

// wholeFailure classifies an answer that does not say yes to a batch. Unlike
// for a single order, a path that D1 does not know is our mistake and not the
// order's, and refuses none. A refusal as a duplicate is a refusal of the whole
// only where D1 takes all cards or none; elsewhere nobody can say how far it got.
func (b *Batches) wholeFailure(a answer) *retry.Error {
	e := b.client.failure(a)
	noPath := a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed
	switch class, _ := b.client.cfg.Policy.Status(a.status); {
	case noPath && e.Code == "HTTP_"+strconv.Itoa(a.status):
		e.Class, e.Reason = retry.Stop, "D1 does not know the path of batch orders"
	case class == retry.Refused && b.answer == BatchAllOrNothing:
		e.Class = retry.Refused
	case class == retry.Refused && a.status == http.StatusConflict:
		e.Class = retry.Unknown
	}
	return e
}

// contradicts reports whether a refusal comes with a list that may say of some
// card that it was ordered all the same. A D1 that takes all or nothing may
// list the cards that are to blame.
func (b *Batches) contradicts(body *wireBatchAnswer) bool {
	items := append(body.Operations.items, body.Cards.items...)
	if b.answer != BatchAllOrNothing {
		return len(items) > 0
	}
	for i := range items {
		if items[i].OperationID != "" {
			return true
		}
	}
	return false
}

func acceptAll(orders []BatchOrder) BatchReply {
	return BatchReply{Results: make([]BatchResult, len(orders))}
}

// readItems reads what is said card by card: in any order, with items missing,
// repeated, or about cards that were not asked for.
func readItems(status int, items []batchItem, orders []BatchOrder, policy retry.Policy) BatchReply {
	r := itemReader{status: status, policy: policy, orders: orders,
		byOrder: make(map[string]int, len(orders)), byCard: make(map[string]int, len(orders)),
		said: make([]bool, len(orders)), reply: BatchReply{Results: make([]BatchResult, len(orders))}}
	for i, o := range orders {
		r.byOrder[o.OrderID] = i
		if _, twice := r.byCard[o.CardID]; twice {
			i = ambiguous
		}
		r.byCard[o.CardID] = i
	}
	for i := range items {
		r.read(&items[i])
	}
	for i, said := range r.said {
		if !said {
			r.reply.Results[i] = r.unproven("the answer does not name it")
		}
	}
	return r.reply
}

// ambiguous stands for a card that several orders of a batch are for.
const ambiguous = -1

type itemReader struct {
	status  int
	policy  retry.Policy
	orders  []BatchOrder
	byOrder map[string]int
	byCard  map[string]int
	said    []bool
	reply   BatchReply
}

func (r *itemReader) read(item *batchItem) {
	card, cardKnown := r.byCard[string(item.CardID)]
	order, orderKnown := r.byOrder[string(item.IssuerRequestID)]
	switch {
	case item.IssuerRequestID == "" && cardKnown && card != ambiguous:
		r.learn(card, r.verdict(item))
	case orderKnown && (item.CardID == "" || string(item.CardID) == r.orders[order].CardID):
		r.learn(order, r.verdict(item))
	default:
		r.reply.Strangers++
		// Whichever of the two names is wrong, neither order is sure any more.
		for _, i := range []struct {
			at    int
			known bool
		}{{card, cardKnown}, {order, orderKnown}} {
			if i.known && i.at != ambiguous {
				r.learn(i.at, r.unproven("the answer is not clear about it"))
			}
		}
	}
}

func (r *itemReader) learn(i int, result BatchResult) {
	if r.said[i] && !same(r.reply.Results[i], result) {
		result = r.unproven("the answer contradicts itself about it")
	}
	r.said[i], r.reply.Results[i] = true, result
}

func same(a, b BatchResult) bool {
	if a.Err == nil || b.Err == nil {
		return a == b
	}
	return a.Err.Error() == b.Err.Error()
}

func (r *itemReader) unproven(reason string) BatchResult {
	return BatchResult{Err: &retry.Error{Class: retry.Unknown, Status: r.status, Code: codeUnproven, Reason: reason}}
}

// verdict reads one item. An operation id without any word of an error is
// acceptance; an error code without an operation id is refusal, unless it
// speaks of trouble at D1 rather than of the order.
func (r *itemReader) verdict(item *batchItem) BatchResult {
	id, code := identifier(string(item.OperationID)), identifier(string(item.ErrorCode))
	state := strings.ToUpper(string(item.Status))
	status, err := strconv.Atoi(state)
	numeric := err == nil
	switch {
	case id != "" && item.ErrorCode == "" && item.Error == "" && state != "FAILED" && (!numeric || status >= 200 && status <= 299):
		return BatchResult{OperationID: id}
	case item.OperationID != "" || code == "" || longNumber.MatchString(code):
		return r.unproven("the answer is not clear about it")
	}
	class := retry.Refused
	if numeric {
		class, _ = r.policy.Status(status)
	} else {
		status = r.status
	}
	if class != retry.Refused || trouble.MatchString(code) {
		class = retry.Unknown
	}
	return BatchResult{Err: &retry.Error{Class: class, Status: status, Code: code, Reason: safeReason(string(item.Error))}}
}

// trouble finds error codes that do not blame the order. A duplicate is no
// refusal either: D1 has the order.
var trouble = regexp.MustCompile(`(?i)internal|server|timeout|timed_?out|unavailable|too_many|throttl|author|duplicate|retry`)
