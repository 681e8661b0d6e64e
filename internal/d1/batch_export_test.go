package d1

import "time"

// ReadBatchAnswer reads an answer as [Batches.Order] does.
func ReadBatchAnswer(model BatchAnswer, status int, body []byte, orders []BatchOrder) (BatchReply, error) {
	b := &Batches{client: &Client{cfg: Config{Now: fixedNow}}, answer: model}
	return b.read(answer{status: status, body: body}, orders)
}

func fixedNow() time.Time { return time.Unix(0, 0) }
