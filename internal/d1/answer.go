package d1

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cardbatch/internal/retry"
)

// Our own codes, beside D1's errorCode, HTTP_<status> where D1 gave none, and
// [retry.CodeTransport].
const (
	codeBadCardID = "CARD_ID_INVALID" // breaks D1's pattern; was not sent
	codeUnclear   = "ANSWER_UNCLEAR"  // accepted by its status, but not what D1 answers
	codeToken     = "TOKEN"           // no token was to be had
)

const (
	maxCode       = 64
	maxReason     = 80
	maxRetryAfter = time.Hour
)

// answer is what came back, cut to size.
type answer struct {
	status     int
	retryAfter string
	date       string // by D1's clock
	body       []byte
	cut        bool // there was more of the body, or there should have been
}

// readAnswer reads up to limit bytes of the body. A body that ends early or is
// longer is kept as far as it was read; it will not parse, which is the truth.
func readAnswer(resp *http.Response, limit int64) answer {
	defer resp.Body.Close() //nolint:errcheck // nothing is lost
	a := answer{status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After"), date: resp.Header.Get("Date")}
	if a.status == http.StatusSwitchingProtocols {
		return a // its body is the connection, for as long as the other side likes
	}
	var err error
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit))
	a.cut = err != nil || int64(len(a.body)) == limit
	return a
}

// accepted reads the answer to an order. 202 with any JSON object, and another
// 2xx with an operation id, prove that D1 has it. A 2xx without that proof may
// be a truncated answer or something else's page: nobody can say.
func (c *Client) accepted(a answer) (string, error) {
	if a.status < 200 || a.status > 299 {
		return "", c.failure(a)
	}
	var body *struct {
		OperationID looseText `json:"operationId"`
	}
	err := json.Unmarshal(a.body, &body)
	if err == nil && body != nil {
		id := identifier(string(body.OperationID))
		if id != "" || a.status == http.StatusAccepted {
			return id, nil
		}
	}
	return "", &retry.Error{Class: retry.Unknown, Status: a.status, Code: codeUnclear}
}

// failure classifies an answer that does not say yes. An order that D1 turns
// away as a duplicate is not refused: D1 says that it has one with this
// issuerRequestId, which can only be an earlier attempt of ours.
func (c *Client) failure(a answer) *retry.Error {
	class, unavailable := c.cfg.Policy.Status(a.status)
	e := &retry.Error{
		Class:       class,
		Status:      a.status,
		Code:        "HTTP_" + strconv.Itoa(a.status),
		After:       retryAfter(a.retryAfter, a.clock(c.cfg.Now())),
		Unavailable: unavailable,
	}
	var body struct {
		ErrorCode looseText `json:"errorCode"`
		Error     looseText `json:"error"`
	}
	if json.Unmarshal(a.body, &body) == nil {
		if code := identifier(string(body.ErrorCode)); code != "" && !longNumber.MatchString(code) {
			e.Code = code
		}
		e.Reason = safeReason(string(body.Error))
	}
	if class == retry.Refused && strings.Contains(e.Code, "DUPLICATE") {
		e.Class = retry.Unknown
	}
	return e
}

// clock returns the time at D1 when it answered, or ours when it does not say.
func (a *answer) clock(ours time.Time) time.Time {
	if at, err := http.ParseTime(a.date); err == nil {
		return at
	}
	return ours
}

// retryAfter reads the header's two forms, seconds and an HTTP date.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	wait := time.Duration(0)
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		if seconds > 0 {
			wait = time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
		}
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// looseText reads a JSON string, or a number or boolean as it is written, and
// takes everything else for empty: D1 may change what it sends, and what we do
// not understand must not hide the rest.
type looseText string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *looseText) UnmarshalJSON(b []byte) error {
	*t = ""
	switch {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null":
		return nil
	case b[0] != '"':
		*t = looseText(b)
		return nil
	}
	if inner := b[1 : len(b)-1]; plain(inner) {
		*t = looseText(inner)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err //nolint:wrapcheck // encoding/json names the place itself
	}
	*t = looseText(s)
	return nil
}

// identifier returns s when it has the form of D1's codes and operation ids,
// else nothing: whatever it is, it is not that.
func identifier(s string) string {
	if len(s) > maxCode {
		return ""
	}
	for _, r := range s {
		if !wordRune(r) && r != '.' && r != '-' {
			return ""
		}
	}
	return s
}

// longNumber finds what could be a PAN, also when it is written in groups.
var longNumber = regexp.MustCompile(`[0-9](?:[ .-]?[0-9]){11,}`)

// safeReason keeps of D1's error text what a field name or a short phrase is
// made of. D1 documents a field name here, but nothing forbids it to repeat a
// value.
func safeReason(s string) string {
	const scan = 4096 // a long number that is cut here starts far behind the visible part
	kept := strings.Map(func(r rune) rune {
		if wordRune(r) || strings.ContainsRune(".[] -", r) {
			return r
		}
		return -1
	}, s[:min(len(s), scan)])
	kept = strings.TrimSpace(longNumber.ReplaceAllString(kept, "[number]"))
	return kept[:min(len(kept), maxReason)]
}

func wordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}
