package pgptest

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// sessionKeySize is that of AES-256, in bytes.
const sessionKeySize = 32

// Forge makes a message whose signature is a real one, but was made over another
// content. All else is as it should be: only who has read the content to its
// end can know.
func Forge(content []byte, to, by *Pair, at time.Time) ([]byte, error) {
	mine, err := signed(content, by, at)
	if err != nil {
		return nil, err
	}
	theirs, err := signed([]byte("something else"), by, at)
	if err != nil {
		return nil, err
	}
	mine[len(mine)-1] = theirs[len(theirs)-1]
	return encrypted(to, at, func(w io.Writer, key []byte) error {
		clear, err := packet.SerializeSymmetricallyEncrypted(w, packet.CipherAES256, false, packet.CipherSuite{}, key, nil)
		if err != nil {
			return err
		}
		for _, p := range mine {
			if err := p.Serialize(clear); err != nil {
				return err
			}
		}
		return clear.Close()
	})
}

// signed returns the packets of a signed message in clear; the last one is the
// signature.
func signed(content []byte, by *Pair, at time.Time) ([]*packet.OpaquePacket, error) {
	signer, err := entity(by.PrivateFile)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := openpgp.Sign(&b, []*openpgp.Entity{signer}, nil, &packet.Config{Time: func() time.Time { return at }})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	var all []*packet.OpaquePacket
	for r := packet.NewOpaqueReader(&b); ; {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		all = append(all, p)
	}
}

// Unprotected makes a message without integrity protection, as software from
// before 2000 does: anybody could change it on its way.
func Unprotected(content []byte, to *Pair, at time.Time) ([]byte, error) {
	return encrypted(to, at, func(w io.Writer, key []byte) error {
		var clear bytes.Buffer
		literal, err := packet.SerializeLiteral(nopCloser{&clear}, true, "", uint32(at.Unix()))
		if err != nil {
			return err
		}
		_, err = literal.Write(content)
		if err := errors.Join(err, literal.Close()); err != nil {
			return err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		start := make([]byte, block.BlockSize())
		_, _ = rand.Read(start) // never fails
		stream, prefix := packet.NewOCFBEncrypter(block, start, packet.OCFBResync)
		body := clear.Bytes()
		stream.XORKeyStream(body, body)
		const withoutProtection = 9 // RFC 9580, 5.7
		p := packet.OpaquePacket{Tag: withoutProtection, Contents: append(prefix, body...)}
		return p.Serialize(w)
	})
}

// encrypted writes a new session key for a key's owner, and what write makes of it.
func encrypted(to *Pair, at time.Time, write func(w io.Writer, key []byte) error) ([]byte, error) {
	e, err := entity(to.PublicFile)
	if err != nil {
		return nil, err
	}
	recipient, ok := e.EncryptionKey(at, nil)
	if !ok {
		return nil, errors.New("encrypt: the key is not for that")
	}
	key := make([]byte, sessionKeySize)
	_, _ = rand.Read(key) // never fails
	var b bytes.Buffer
	if err := packet.SerializeEncryptedKey(&b, recipient.PublicKey, packet.CipherAES256, key, nil); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := write(&b, key); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return b.Bytes(), nil
}

// Reveal decrypts a message with any of the keys and asks nothing of it: neither
// integrity nor a signature. Of a message that is cut short it returns what
// there is.
func Reveal(message []byte, keys ...*Pair) ([]byte, error) {
	var ring openpgp.EntityList
	for _, k := range keys {
		e, err := entity(k.PrivateFile)
		if err != nil {
			return nil, err
		}
		ring = append(ring, e)
	}
	m, err := openpgp.ReadMessage(bytes.NewReader(message), ring, nil, &packet.Config{InsecureAllowUnauthenticatedMessages: true})
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	content, err := io.ReadAll(m.UnverifiedBody)
	if err != nil {
		return content, fmt.Errorf("decrypt: %w", err)
	}
	return content, nil
}

// entity reads the one key of a file.
func entity(file []byte) (*openpgp.Entity, error) {
	all, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	return all[0], nil
}

type nopCloser struct{ io.Writer }

// Close implements [io.Closer].
func (nopCloser) Close() error { return nil }
