package validate

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// Lengths of parts of a compact JWE with A256GCM, in base64url characters: a
// 96 bit initialization vector and a 128 bit tag.
const (
	ivLength  = 16
	tagLength = 22
)

// checkJWE says what is wrong with a ready-made JWE, nothing when D1 may be
// able to decrypt it. Whether it can is for D1 to say: only D1 has the key.
func checkJWE(compact string, kids []string) string {
	parts := strings.Split(compact, ".")
	if len(parts) != 5 {
		return "is not a compact JWE of five parts"
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return "the JWE header is not base64url"
	}
	var header struct {
		Alg string       `json:"alg"`
		Enc string       `json:"enc"`
		Kid string       `json:"kid"`
		Zip string       `json:"zip"`
		EPK ephemeralKey `json:"epk"`
	}
	if err := json.Unmarshal(b, &header); err != nil {
		return "the JWE header is not JSON"
	}
	switch {
	case header.Alg != "ECDH-ES":
		return "the JWE header must say alg ECDH-ES"
	case header.Enc != "A256GCM":
		return "the JWE header must say enc A256GCM"
	case header.Zip != "":
		return "the JWE must not be compressed"
	case header.Kid == "":
		return "the JWE header has no kid"
	case len(kids) > 0 && !slices.Contains(kids, header.Kid):
		return "the JWE is for a key (kid) that D1 does not have, as far as we know"
	case !header.EPK.isP256():
		return "the JWE header has no epk of the curve P-256"
	case parts[1] != "":
		return "the JWE has an encrypted key, which ECDH-ES has not"
	case len(parts[2]) != ivLength:
		return "the JWE's initialization vector has the wrong length"
	case len(parts[4]) != tagLength:
		return "the JWE's authentication tag has the wrong length"
	}
	return ""
}

type ephemeralKey struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

// isP256 checks the shape of the key: coordinates of 32 bytes.
func (k ephemeralKey) isP256() bool {
	const coordinate = 43 // base64url characters of 32 bytes
	return k.Kty == "EC" && k.Crv == "P-256" && len(k.X) == coordinate && len(k.Y) == coordinate
}
