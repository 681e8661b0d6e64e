package retry

// Event is what came of sending an order where no HTTP status decides.
type Event int

// The events. Whoever reports one must be able to prove it; the zero value
// claims nothing.
const (
	// Unanswered: the order, or a part of it, may have been written.
	Unanswered Event = iota
	// Unsent: not a byte of the order was written, and none will be.
	Unsent
	// Declined: it was written, and the protocol says that nobody looked at it.
	Declined
	// Accepted: an answer proves that D1 has the order.
	Accepted
)

// Policy is what may differ between issuers in reading D1's answers. The zero
// value is the careful one.
type Policy struct {
	// Busy503 says that this D1 is known to answer 503 only before it looks at
	// a request. It makes 503 NotDone instead of Unknown.
	Busy503 bool
}

// verdict is what an outcome means: for the order, and whether the other side
// as a whole seems to be down.
type verdict struct {
	class Class
	down  bool
}

// events is the part of the table in the package comment that has no status.
var events = map[Event]verdict{
	Unanswered: {class: Unknown, down: true},
	Unsent:     {class: NotDone, down: true},
	Declined:   {class: NotDone},
	Accepted:   {class: Done},
}

// statuses is the other part: the first line that covers a status decides.
var statuses = []struct {
	from, to int
	verdict
}{
	{301, 301, verdict{class: Stop}},
	{307, 308, verdict{class: Stop}},
	{300, 399, verdict{class: Unknown, down: true}},
	{401, 401, verdict{class: Stop}},
	{407, 407, verdict{class: Stop}},
	{408, 408, verdict{class: Unknown}},
	{421, 421, verdict{class: NotDone}},
	{425, 425, verdict{class: NotDone}},
	{429, 429, verdict{class: NotDone}},
	{400, 499, verdict{class: Refused}},
	{501, 501, verdict{class: Unknown}},
	{505, 505, verdict{class: Unknown}},
	{500, 599, verdict{class: Unknown, down: true}},
}

// Status returns the class of an answer with the given HTTP status that did
// not prove acceptance, and whether it means that D1 as a whole seems to be
// unavailable.
func (p Policy) Status(status int) (Class, bool) {
	if status == 503 && p.Busy503 {
		return NotDone, true
	}
	for _, line := range statuses {
		if line.from <= status && status <= line.to {
			return line.class, line.down
		}
	}
	return Unknown, false
}
