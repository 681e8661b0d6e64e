package retry

// Policy is what may differ between issuers in reading D1's answers. The zero
// value is the careful one.
type Policy struct {
	// Busy503 says that this D1 is known to answer 503 only before it looks at
	// a request. It makes 503 NotDone instead of Unknown.
	Busy503 bool
}

// verdict is one line of the table.
type verdict struct {
	from, to    int
	class       Class
	unavailable bool
}

// table is the retry policy: the first line that covers a status decides.
//
//   - A 2xx or 1xx that comes here is one without the proof of acceptance that
//     was expected, so D1 may well have the order.
//   - 301, 307 and 308 say that the resource lives elsewhere and that nothing
//     was done here: the base URL is wrong. Other redirects, above all 303, may
//     be the answer to a request that was processed.
//   - 401 and 407 are given by the gate in front of the API, about us and not
//     about the order.
//   - 408 says that the server waited too long for the rest of the request; it
//     cannot prove what it did with the part it had.
//   - 421, 425 and 429 are defined as answers to a request that was not acted upon.
//   - A 5xx may come from a gateway that gave up on a D1 which did not.
var table = []verdict{
	{from: 301, to: 301, class: Stop},
	{from: 307, to: 308, class: Stop},
	{from: 300, to: 399, class: Unknown, unavailable: true},
	{from: 401, to: 401, class: Stop},
	{from: 407, to: 407, class: Stop},
	{from: 408, to: 408, class: Unknown},
	{from: 421, to: 421, class: NotDone},
	{from: 425, to: 425, class: NotDone},
	{from: 429, to: 429, class: NotDone},
	{from: 400, to: 499, class: Refused},
	{from: 502, to: 504, class: Unknown, unavailable: true},
}

// Status returns the class of an answer with the given HTTP status that did
// not prove acceptance, and whether it means that D1 as a whole is unavailable.
func (p Policy) Status(status int) (Class, bool) {
	if status == 503 && p.Busy503 {
		return NotDone, true
	}
	for _, v := range table {
		if v.from <= status && status <= v.to {
			return v.class, v.unavailable
		}
	}
	return Unknown, false
}
