package cardholder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
)

// fingerprintSize is the length of a fingerprint in bytes. 128 bits make a
// chance collision among all cards of all issuers negligible, and keep the
// index on a million rows small.
const fingerprintSize = 16

// The domains keep a PAN's fingerprint from ever equalling that of a content,
// should both be made with the same key.
const (
	domainPAN     = "cardbatch/pan/v1"
	domainContent = "cardbatch/content/v1"
)

// Fingerprinter derives keyed digests (HMAC-SHA256, truncated to 16 bytes).
// There are few enough PANs to try them all, so a plain hash would be as good
// as the PAN itself. It is safe for concurrent use.
type Fingerprinter struct {
	// A closure, because fmt would print a key in a field.
	mac func() hash.Hash
}

// NewFingerprinter returns a fingerprinter with a key of its own, at least 32
// bytes from a random source. Fingerprints made with different keys cannot be
// compared.
func NewFingerprinter(key []byte) *Fingerprinter {
	own := append([]byte(nil), key...)
	return &Fingerprinter{mac: func() hash.Hash { return hmac.New(sha256.New, own) }}
}

// PAN returns the fingerprint of a PAN, nil when there is none.
func (f *Fingerprinter) PAN(p PAN) []byte {
	if p.IsZero() {
		return nil
	}
	return f.sum(domainPAN, p.Reveal())
}

// Content returns the fingerprint of a list of texts. Lists differ in their
// fingerprints also when their concatenations are equal.
func (f *Fingerprinter) Content(parts ...string) []byte {
	return f.sum(domainContent, parts...)
}

func (f *Fingerprinter) sum(domain string, parts ...string) []byte {
	h := f.mac()
	message := appendPart(make([]byte, 0, 1024), domain)
	for _, p := range parts {
		message = appendPart(message, p)
	}
	_, _ = h.Write(message) // a hash never returns an error
	clear(message)
	return h.Sum(nil)[:fingerprintSize:fingerprintSize]
}

func appendPart(b []byte, part string) []byte {
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}

// Format implements [fmt.Formatter] and shows nothing of the key.
func (f *Fingerprinter) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[fingerprinter]")) }
