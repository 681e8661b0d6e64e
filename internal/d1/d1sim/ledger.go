package d1sim

import (
	"hash/maphash"
	"strconv"
)

// A record is one order request the simulator has judged: either a PRODUCE
// operation (one card to make) or a refusal. Repeats of it only raise times.
// A million of them must fit in memory, hence the shape.
type record struct {
	ids       string // issuerRequestId, then cardId
	received  int64  // Shopfloor time, µs
	due       int64  // Shopfloor time the card is planned to ship, µs
	pan       uint64 // keyed hash of the PAN, 0 when unknown
	body      [32]byte
	times     uint32 // requests received with this issuerRequestId
	differing uint32 // of those, how many had another body
	notified  uint32 // notifications delivered
	byRequest uint32 // next record in the hash chain, +1
	byCard    uint32
	status    uint16 // HTTP status of the first answer
	issuer    uint16
	code      uint16 // index into ledger.names: error code
	field     uint16 // index into ledger.names: field in error
	carrier   uint16 // index into ledger.names
	site      uint16
	idLen     uint8
	stage     uint8 // steps of the plan that have happened
	outcome   outcome
	updates   uint8 // CARD_SHIPPED repeats
	jitter    uint8
	cancelAt  uint8 // with outcome cancelled: the step that is CARD_PROD_CANCELED, when it is a later one than usual
	held      bool  // was on hold before it was cancelled
}

func (r *record) requestID() string { return r.ids[:r.idLen] }
func (r *record) cardID() string    { return r.ids[r.idLen:] }
func (r *record) produces() bool    { return r.status == 202 }

const chunkSize = 1 << 12

// ledger keeps records in arrival order and finds them by issuerRequestId and
// by card. The owner's lock guards it.
type ledger struct {
	chunks    [][]record
	n         uint32
	changes   []change
	changesOf map[uint32][]uint32 // by order
	byRequest map[uint64]uint32   // hash of issuer and id -> newest record, +1
	byCard    map[uint64]uint32
	seed      maphash.Seed
	prefix    string            // of operation ids
	names     []string          // interned strings
	nameIndex map[string]uint16 // small: codes, fields, carriers, sites
}

func newLedger(prefix string) *ledger {
	l := &ledger{
		byRequest: map[uint64]uint32{}, byCard: map[uint64]uint32{},
		seed: maphash.MakeSeed(), prefix: prefix,
		names: []string{""}, nameIndex: map[string]uint16{"": 0},
	}
	return l
}

func (l *ledger) at(i uint32) *record { return &l.chunks[i/chunkSize][i%chunkSize] }

// intern returns a small number for one of a few strings.
func (l *ledger) intern(s string) uint16 {
	i, ok := l.nameIndex[s]
	if !ok {
		i = uint16(len(l.names))
		l.names = append(l.names, s)
		l.nameIndex[s] = i
	}
	return i
}

func (l *ledger) hash(issuer uint16, id []byte) uint64 {
	return maphash.Bytes(l.seed, id) ^ uint64(issuer)<<48
}

// add appends a record and returns its number.
func (l *ledger) add(r record) uint32 {
	i := l.n
	if i%chunkSize == 0 {
		l.chunks = append(l.chunks, make([]record, chunkSize))
	}
	if r.idLen > 0 {
		h := l.hash(r.issuer, []byte(r.requestID()))
		r.byRequest = l.byRequest[h]
		l.byRequest[h] = i + 1
	}
	h := l.hash(r.issuer, []byte(r.cardID()))
	r.byCard = l.byCard[h]
	l.byCard[h] = i + 1
	*l.at(i) = r
	l.n++
	return i
}

// request calls f with the records of an issuerRequestId, newest first, until
// f returns false.
func (l *ledger) request(issuer uint16, id []byte, f func(i uint32, r *record) bool) {
	if len(id) == 0 {
		return
	}
	for n := l.byRequest[l.hash(issuer, id)]; n != 0; {
		r := l.at(n - 1)
		if r.issuer == issuer && r.requestID() == string(id) && !f(n-1, r) {
			return
		}
		n = r.byRequest
	}
}

// card calls f with the records of a card, newest first, until f returns false.
func (l *ledger) card(issuer uint16, id []byte, f func(i uint32, r *record) bool) {
	for n := l.byCard[l.hash(issuer, id)]; n != 0; {
		r := l.at(n - 1)
		if r.issuer == issuer && r.cardID() == string(id) && !f(n-1, r) {
			return
		}
		n = r.byCard
	}
}

// operationID derives the id of a record's operation.
func (l *ledger) operationID(i uint32) string {
	return l.prefix + strconv.FormatUint(uint64(i)+1, 36)
}
