package pgp

import (
	"crypto"
	"errors"
	"slices"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"

	"cardbatch/internal/issuance"
)

// errNoKey is what the library says when no key of ours opens a message.
var errNoKey = pgperrors.ErrKeyIncorrect

// checkSignatures decides about the signatures of a message that was read to its
// end. One good signature is enough: a sender who changes keys may sign with both.
func (m *message) checkSignatures() error {
	candidates := m.details.SignatureCandidates
	switch {
	case !m.SignatureRequired && len(m.Verify) == 0:
		return nil
	case len(candidates) == 0 && m.SignatureRequired:
		return fault(issuance.PGPSignatureMissing, "the file is not signed; sign it with %s", keyIDs(m.Verify))
	case len(candidates) == 0:
		return nil
	}
	var first, known error
	for _, c := range candidates {
		err := m.checkSignature(c)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		if known == nil && m.knows(c.SignedByEntity) {
			known = err // says more than that another one is unknown
		}
	}
	if known != nil {
		return known
	}
	return first
}

func (m *message) knows(e *openpgp.Entity) bool {
	return e != nil && slices.ContainsFunc(m.Verify, func(k Key) bool { return k.entity == e })
}

func (m *message) checkSignature(c *openpgp.SignatureCandidate) error {
	id := keyID(c.IssuerKeyId)
	switch {
	case weakHash(c.HashAlgorithm):
		return fault(issuance.PGPWeak, "the signature by %s is over %s, which is no longer safe; use SHA-256 or SHA-512", id, c.HashAlgorithm)
	case !m.knows(c.SignedByEntity):
		return fault(issuance.PGPSignerUntrusted, "the file is signed by %s, which we do not know; sign it with %s, or send us the new public key",
			id, keyIDs(m.Verify))
	}
	cfg := library(func() time.Time { return m.at })
	if text := problem(c.SignedByEntity, c.IssuerKeyId, m.at, cfg); text != "" {
		return fault(issuance.PGPSignerUntrusted, "the file is signed by %s, which %s", id, text)
	}
	if _, ok := c.SignedByEntity.SigningKeyById(m.at, c.IssuerKeyId, cfg); !ok {
		return fault(issuance.PGPSignerUntrusted, "the file is signed by %s, which is not meant for signing, or too weak", id)
	}
	switch {
	case c.SignatureError == nil && c.SignedBy != nil:
		return nil
	case errors.Is(c.SignatureError, pgperrors.ErrSignatureExpired):
		return fault(issuance.PGPSignatureInvalid, "the signature by %s has expired, or is dated in the future (%s)", id,
			c.CorrespondingSig.CreationTime.UTC().Format(time.RFC3339))
	default:
		return fault(issuance.PGPSignatureInvalid, "the signature by %s does not fit the file", id)
	}
}

func weakHash(h crypto.Hash) bool {
	return h == crypto.MD5 || h == crypto.SHA1 || h == crypto.RIPEMD160 || h == 0
}
