package notification

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// tokenPrefix names the form of our tokens. They mean something to us alone, so
// they are no JWT: nothing in them chooses how they are verified.
const tokenPrefix = "cb1."

// token is what one says.
type token struct {
	Client  string   `json:"c"`
	Scopes  []string `json:"s"`
	Expires int64    `json:"e"` // Unix seconds
	Nonce   string   `json:"n"`
}

var (
	errTokenInvalid = errors.New("the token is not one of ours")
	errTokenExpired = errors.New("the token has expired")
)

// signer makes and reads tokens. They are valid for every process with the same
// key, so that a restart or another node does not send D1 back for a new one.
type signer struct{ key []byte }

func (s signer) mac(text string) []byte {
	m := hmac.New(sha256.New, s.key)
	_, _ = m.Write([]byte("cardbatch notification token\x00" + text))
	return m.Sum(nil)
}

func (s signer) sign(t token) string {
	nonce := make([]byte, 9)
	_, _ = rand.Read(nonce)
	t.Nonce = encode(nonce)
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // it is made of text and numbers
	}
	text := tokenPrefix + encode(b)
	return text + "." + encode(s.mac(text))
}

func (s signer) read(text string, now time.Time) (token, error) {
	at := strings.LastIndexByte(text, '.')
	if at < len(tokenPrefix) || !strings.HasPrefix(text, tokenPrefix) || len(text) > 4096 {
		return token{}, errTokenInvalid
	}
	mac, err := decode(text[at+1:])
	if err != nil || !hmac.Equal(mac, s.mac(text[:at])) {
		return token{}, errTokenInvalid
	}
	var t token
	b, err := decode(text[len(tokenPrefix):at])
	if err != nil || json.Unmarshal(b, &t) != nil {
		return token{}, errTokenInvalid
	}
	if now.Unix() >= t.Expires {
		return token{}, errTokenExpired
	}
	return t, nil
}
