package d1

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"cardbatch/internal/retry"
)

// BatchAnswer says how D1 answers a batch order. Thales does not publish it.
type BatchAnswer string

// The answers. With each, a 4xx says that nothing of the request was ordered.
const (
	// BatchPerCard lists the cards with an operation id or an error each.
	BatchPerCard BatchAnswer = "per_card"
	// BatchAllOrNothing accepts every card, or none and names the first error.
	BatchAllOrNothing BatchAnswer = "all_or_nothing"
	// BatchAsAWhole accepts the request and says nothing of its cards.
	BatchAsAWhole BatchAnswer = "as_a_whole"
)

// Limits of a batch order.
const (
	MaxBatch = 1000 // cards, as D1 documents
	// DefaultBatchPath is assumed, by the style of the documented ones.
	DefaultBatchPath = "/physicalCards/operations:production"
	// BatchOverhead is the most by which an order makes a batch longer than its
	// own body and card id.
	BatchOverhead = 16

	maxBatchAnswer = 4 << 20
)

const (
	codeBadBody   = "ORDER_BODY_INVALID" // not a JSON object; was not sent
	codeUnproven  = "NOT_IN_ANSWER"      // the answer does not prove what became of this order
	codeBatchSize = "BATCH_SIZE"         // more orders than D1 takes in a request; was not sent
)

// BatchConfig says how to order in batches. Zero values mean the default.
type BatchConfig struct {
	// Path follows {base URL}/issuers/{issuerId}. Default [DefaultBatchPath].
	Path string
	// Answer is how D1 answers. Default [BatchPerCard].
	Answer BatchAnswer
}

// Batches orders cards by the batch API.
type Batches struct {
	client *Client
	url    string
	answer BatchAnswer
}

// NewBatches returns a view of a client that orders in batches.
func NewBatches(c *Client, cfg BatchConfig) (*Batches, error) {
	b := &Batches{client: c, answer: cfg.Answer}
	switch b.answer {
	case "":
		b.answer = BatchPerCard
	case BatchPerCard, BatchAllOrNothing, BatchAsAWhole:
	default:
		return nil, fmt.Errorf("configure batch orders: unknown answer %q", string(b.answer))
	}
	if cfg.Path == "" {
		cfg.Path = DefaultBatchPath
	}
	u, err := url.Parse(cfg.Path)
	if err != nil || !strings.HasPrefix(cfg.Path, "/") || u.Path != cfg.Path || u.Host != "" {
		return nil, fmt.Errorf("configure batch orders: %q is not a plain path that begins with a slash", cfg.Path)
	}
	b.url = strings.TrimSuffix(c.cards, "/physicalCards/") + cfg.Path
	return b, nil
}

// BatchOrder is one order of a batch.
type BatchOrder struct {
	OrderID string // issuerRequestId, by which an answer may name it
	CardID  string // of no other order of the batch
	Body    []byte // from [Encoder.Encode]; not changed
}

// BatchReply is what D1 says to a batch.
type BatchReply struct {
	Results []BatchResult // one for each order, in their order
	// Strangers counts what the answer says of cards that were not asked for.
	Strangers int
}

// BatchResult is what became of one order. Without an error D1 has it.
type BatchResult struct {
	OperationID string // may be empty
	Err         error  // a [retry.Error]
}

// Order orders the production of up to [MaxBatch] cards in one request.
//
// The error, a [retry.Error], is about the request as a whole: Refused says
// that D1 ordered none of the cards because of one of them or of the request
// (too large: status 413), so that parts of it may be sent. Without an error
// the reply tells of each order: what the answer does not prove to be accepted
// or refused is Unknown. A path that D1 does not know is a Stop.
func (b *Batches) Order(ctx context.Context, correlationID string, orders []BatchOrder) (BatchReply, error) {
	if len(orders) == 0 || len(orders) > MaxBatch {
		return BatchReply{}, &retry.Error{Class: retry.NotDone, Code: codeBatchSize, Reason: "not sent"}
	}
	reply := BatchReply{Results: make([]BatchResult, len(orders))}
	sent, at := sendable(orders, reply.Results)
	if len(sent) == 0 {
		return reply, nil
	}
	a, err := b.client.call(ctx, message{
		endpoint:      EndpointBatch,
		method:        http.MethodPost,
		url:           b.url,
		correlationID: correlationID,
		body:          batchBody(sent),
		limit:         maxBatchAnswer,
	})
	if err != nil {
		return BatchReply{}, err
	}
	read, err := b.read(a, sent)
	if err != nil {
		return BatchReply{}, err
	}
	for i, r := range read.Results {
		reply.Results[at[i]] = r
	}
	reply.Strangers = read.Strangers
	return reply, nil
}

// sendable returns the orders that fit into a batch and where they stand. The
// others are refused: one of them would make the whole request unreadable.
func sendable(orders []BatchOrder, results []BatchResult) (sent []BatchOrder, at []int) {
	sent, at = make([]BatchOrder, 0, len(orders)), make([]int, 0, len(orders))
	for i, o := range orders {
		code := ""
		switch body := bytes.TrimSpace(o.Body); {
		case !cardIDPattern.MatchString(o.CardID):
			code = codeBadCardID
		case len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}':
			code = codeBadBody
		}
		if code != "" {
			results[i].Err = &retry.Error{Class: retry.Refused, Code: code, Reason: "not sent"}
			continue
		}
		sent, at = append(sent, o), append(at, i)
	}
	return sent, at
}

// batchBody is {"cards":[...]} and nothing else: there D1 tolerates no other
// member. A card is the body of a single order, with its cardId. The bodies are
// our own encoder's, so that nothing has to be parsed for it.
func batchBody(orders []BatchOrder) []byte {
	size := 16
	for _, o := range orders {
		size += len(o.Body) + len(o.CardID) + BatchOverhead
	}
	b := append(make([]byte, 0, size), `{"cards":[`...)
	for i, o := range orders {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"cardId":"`...), o.CardID...), '"')
		rest := bytes.TrimSpace(bytes.TrimSpace(o.Body)[1:])
		if rest[0] != '}' {
			b = append(b, ',')
		}
		b = append(b, rest...)
	}
	return append(b, `]}`...)
}
