package d1sim

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Error codes. The first four stand in Thales' tables, the others are assumed.
const (
	codeFormat       = "FIELD_INVALID_FORMAT"
	codeValue        = "FIELD_INVALID_VALUE"
	codeCrypto       = "CRYPTO_ERROR"
	codeParsing      = "PARSING_ERROR"
	codeUnauthorized = "AUTHORIZER_UNAUTHORIZED"
	codeForbidden    = "FORBIDDEN_OPERATION"
	codeNotAllowed   = "AUTHORIZER_FORBIDDEN"
	codeNoCard       = "CARD_NOT_FOUND"
	codeDuplicate    = "DUPLICATE_REQUEST"
	codeTooMany      = "TOO_MANY_REQUESTS"
)

// apiError is an answer that refuses; code and text may be empty.
type apiError struct {
	status int
	code   string
	text   string
}

func (e *apiError) write(w http.ResponseWriter) { writeJSON(w, e.status, e.json()) }

func (e *apiError) json() []byte {
	b := append(make([]byte, 0, 128), '{')
	if e.code != "" {
		b = appendString(append(b, `"errorCode":`...), e.code)
	}
	if e.text != "" {
		if e.code != "" {
			b = append(b, ',')
		}
		b = appendString(append(b, `"error":`...), e.text)
	}
	return append(b, '}')
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // when the client is gone there is nothing to do about it
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			q, err := json.Marshal(s)
			if err != nil {
				q = []byte(`""`) // cannot happen: every string can be marshalled
			}
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
