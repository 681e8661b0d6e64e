package d1

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cardbatch/internal/issuance"
)

// What [ParseOperations] may find wrong.
var (
	// ErrNotJSON: the body is not JSON at all.
	ErrNotJSON = errors.New("the body is not JSON")
	// ErrNoOperations: it is JSON, but not an object with a list of operations.
	ErrNoOperations = errors.New("the body has no list of operations")
)

const (
	maxWord = 128  // bytes of an identifier or status we keep
	maxText = 1024 // bytes of a free text we keep
)

// wireOperation is one operation as D1 writes it. Members we do not use are
// not named; members of another type than expected count as missing.
type wireOperation struct {
	OperationID     looseText          `json:"operationId"`
	Operation       looseText          `json:"operation"`
	Status          looseText          `json:"status"`
	StartTime       looseText          `json:"startTime"`
	EndTime         looseText          `json:"endTime"`
	CardID          looseText          `json:"cardId"`
	IssuerRequestID looseText          `json:"issuerRequestId"`
	InputFileName   looseText          `json:"inputFileName"`
	ErrorCode       looseText          `json:"errorCode"`
	Error           looseText          `json:"error"`
	Details         loose[wireDetails] `json:"details"`
}

type wireDetails struct {
	Status          looseText           `json:"status"`
	Reason          looseText           `json:"reason"`
	DueDate         looseText           `json:"dueDate"`
	ProductionSite  looseText           `json:"productionSite"`
	IssuerRequestID looseText           `json:"issuerRequestId"`
	InputFileName   looseText           `json:"inputFileName"`
	Shipment        loose[wireShipment] `json:"shipment"`
}

type wireShipment struct {
	Carrier        looseText `json:"carrier"`
	TrackingNumber looseText `json:"trackingNumber"`
	TrackingURL    looseText `json:"trackingUrl"`
	Status         looseText `json:"status"`
	Message        looseText `json:"message"`
}

// loose reads a JSON object and takes everything else for an empty one.
type loose[T any] struct{ Value T }

// UnmarshalJSON implements [json.Unmarshaler].
func (l *loose[T]) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	return json.Unmarshal(b, &l.Value) //nolint:wrapcheck // encoding/json names the place itself
}

// ParseOperations reads the body of a notification or of an answer to
// productionStatus, which are the same. It fails only for a body that is not
// JSON ([ErrNotJSON]), not an object with a list under operations
// ([ErrNoOperations]), or one with a list of more than [MaxOperations]
// ([issuance.ErrTooManyOperations]); inside the list everything is tolerated, and there is
// one operation for every element, empty when there is nothing we understand,
// so that no piece of news disappears unseen.
func ParseOperations(body []byte) ([]issuance.Operation, error) {
	var outer struct {
		Operations []loose[wireOperation] `json:"operations"`
	}
	if tooMany(body) {
		return nil, issuance.ErrTooManyOperations
	}
	err := json.Unmarshal(body, &outer)
	if _, broken := errors.AsType[*json.SyntaxError](err); broken {
		return nil, ErrNotJSON
	}
	if err != nil || outer.Operations == nil {
		return nil, ErrNoOperations
	}
	operations := make([]issuance.Operation, len(outer.Operations))
	for i := range outer.Operations {
		operations[i] = outer.Operations[i].Value.operation()
	}
	return operations, nil
}

// MaxOperations is how many operations are read at a time. D1 agrees with each
// issuer how many it sends; in JSON an operation can take three bytes, and read
// some hundred times as much.
const MaxOperations = 10_000

// tooMany reports whether a body has more operations than are read, without
// building any of them.
func tooMany(body []byte) bool {
	if bytes.Count(body, []byte{','}) < MaxOperations {
		return false // what separates them is missing
	}
	var outer struct {
		Operations operationCount `json:"operations"`
	}
	_ = json.Unmarshal(body, &outer) // what is wrong with it is found when it is read
	return outer.Operations > MaxOperations
}

// operationCount counts the elements of a JSON list; those of anything else are none.
type operationCount int

// UnmarshalJSON implements [json.Unmarshaler].
func (n *operationCount) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return nil //nolint:nilerr // not a list
	}
	for ; d.More() && *n <= MaxOperations; *n++ {
		if err := d.Decode(&passed{}); err != nil {
			return err //nolint:wrapcheck // encoding/json names the place itself
		}
	}
	return nil
}

// passed is JSON that is passed over.
type passed struct{}

// UnmarshalJSON implements [json.Unmarshaler].
func (*passed) UnmarshalJSON([]byte) error { return nil }

// operation reduces what D1 wrote to what we use.
func (w *wireOperation) operation() issuance.Operation {
	details := &w.Details.Value
	shipment := &details.Shipment.Value
	request := w.IssuerRequestID
	if request == "" {
		request = details.IssuerRequestID
	}
	file := w.InputFileName
	if file == "" {
		file = details.InputFileName
	}
	return issuance.Operation{
		OperationID:     word(w.OperationID),
		Operation:       word(w.Operation),
		Status:          word(w.Status),
		CardID:          word(w.CardID),
		IssuerRequestID: word(request),
		InputFileName:   word(file),
		StartTime:       parseTime(w.StartTime),
		EndTime:         parseTime(w.EndTime),
		ErrorCode:       word(w.ErrorCode),
		Error:           freeText(w.Error),
		Production:      issuance.ProductionStatus(word(details.Status)),
		Reason:          freeText(details.Reason),
		DueDate:         word(details.DueDate),
		Site:            word(details.ProductionSite),
		Shipment: issuance.Shipment{
			Carrier:        word(shipment.Carrier),
			TrackingNumber: word(shipment.TrackingNumber),
			TrackingURL:    printable(shipment.TrackingURL, maxText),
			Status:         word(shipment.Status),
			Message:        freeText(shipment.Message),
		},
	}
}

// word keeps an identifier, a status or a date as D1 writes it.
func word(t looseText) string { return printable(t, maxWord) }

// freeText keeps a text for people, without anything that could be a PAN.
func freeText(t looseText) string {
	return longNumber.ReplaceAllString(printable(t, maxText), "[number]")
}

// printable returns t without surrounding space and control characters, which
// databases and terminals dislike, cut to a number of bytes.
func printable(t looseText, most int) string {
	s := strings.TrimSpace(string(t))
	if len(s) <= most && plain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimSpace(s)
}

// plain reports whether s is printable ASCII that JSON writes as it is.
func plain[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// parseTime reads the forms of ISO 8601 that are met in practice, a time
// without a zone as UTC. What it cannot read is the zero time: the news counts
// all the same.
func parseTime(t looseText) time.Time {
	s := strings.TrimSpace(string(t))
	for _, layout := range [...]string{
		time.RFC3339,
		"2006-01-02T15:04:05Z0700",
		"2006-01-02T15:04:05Z07",
		"2006-01-02T15:04:05",
		"2006-01-02T15:04Z07:00",
		"2006-01-02T15:04",
		"2006-01-02 15:04:05Z07:00",
		"2006-01-02 15:04:05",
		time.DateOnly,
	} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}
