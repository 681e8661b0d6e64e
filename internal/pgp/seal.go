package pgp

import (
	"bufio"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Suffix is what the name of an encrypted file ends with.
const Suffix = ".pgp"

const aes128, aes256 = 16, 32 // bytes of a key

// SealConfig says how reports are encrypted.
type SealConfig struct {
	To     []Key  // the reader's public keys, each of which can open the file; at least one
	Sign   Key    // our private key; none: not signed
	Armor  bool   // ASCII armor, a third larger, for ways that do not take binary files
	Secret []byte // at least 32 random bytes, from which session keys are derived
	Now    func() time.Time
}

// Sealer encrypts and signs reports. It may be used by several goroutines.
type Sealer struct{ cfg SealConfig }

// NewSealer checks that the keys are of the right kind.
func NewSealer(cfg SealConfig) (*Sealer, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch {
	case len(cfg.To) == 0:
		return nil, errors.New("set up encryption: there is no key to encrypt to")
	case len(cfg.Secret) < 32:
		return nil, errors.New("set up encryption: the secret for session keys is too short")
	case cfg.Sign.entity != nil && !hasPrivate(cfg.Sign.entity):
		return nil, fmt.Errorf("set up encryption: key %s has no private half here", cfg.Sign)
	}
	cfg.Secret = slices.Clone(cfg.Secret)
	return &Sealer{cfg}, nil
}

// Suffix returns what the name of an encrypted file ends with.
func (s *Sealer) Suffix() string { return Suffix }

// Wrap encrypts to w what is written to the writer returned, which must be
// closed. The name identifies the file to [Sealer.Unwrap]; it is not in the file.
func (s *Sealer) Wrap(name string, w io.Writer) (io.WriteCloser, error) {
	at := s.cfg.Now()
	cfg := library(func() time.Time { return at })
	for _, k := range s.cfg.To {
		if info := k.CheckEncrypt(at); info.Problem != "" {
			return nil, fmt.Errorf("encrypt to key %s: it %s", k, info.Problem)
		}
	}
	to := s.recipients()
	var signers []*openpgp.Entity
	if k := s.cfg.Sign; k.entity != nil {
		if info := k.CheckSign(at); info.Problem != "" {
			return nil, fmt.Errorf("sign with key %s: it %s", k, info.Problem)
		}
		signers = []*openpgp.Entity{k.entity}
	}
	key, err := s.sessionKey(name, sessionKeySize(to, at, cfg))
	if err != nil {
		return nil, err
	}
	return s.stack(w, to, &openpgp.EncryptParams{Signers: signers, SessionKey: key, Config: cfg})
}

// stack builds buffer, encryption and armor over w.
func (s *Sealer) stack(w io.Writer, to []*openpgp.Entity, params *openpgp.EncryptParams) (io.WriteCloser, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	closers := []func() error{out.Flush}
	var below io.Writer = out
	if s.cfg.Armor {
		a, err := armor.Encode(out, openpgp.MessageType, nil)
		if err != nil {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
		below = a
		closers = append(closers, a.Close)
	}
	clear, err := openpgp.EncryptWithParams(below, to, nil, params)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	in := bufio.NewWriterSize(clear, 64<<10)
	closers = append(closers, clear.Close, in.Flush)
	slices.Reverse(closers)
	return &stacked{in, closers}, nil
}

// stacked is a writer of several layers, closed from the top.
type stacked struct {
	io.Writer
	closers []func() error
}

// Close implements [io.Closer]. What was written is complete only after it.
func (s *stacked) Close() error {
	for _, c := range s.closers {
		if err := c(); err != nil {
			return fmt.Errorf("encrypt: %w", err)
		}
	}
	return nil
}

func (s *Sealer) sessionKey(name string, size int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, s.cfg.Secret, nil, "cardbatch report session key v1\x00"+name, size)
	if err != nil {
		return nil, fmt.Errorf("derive session key: %w", err)
	}
	return key, nil
}

// sessionKeySize follows the library's choice of a cipher: AES-256 if all
// recipients take it, AES-128 otherwise. A wrong guess would be an error when
// encrypting, never a weaker file.
func sessionKeySize(to []*openpgp.Entity, at time.Time, cfg *packet.Config) int {
	aead := true
	classic, suites := true, true
	for _, e := range to {
		self, err := e.PrimarySelfSignature(at, cfg)
		if err != nil {
			return aes128
		}
		aead = aead && self.SEIPDv2
		classic = classic && slices.Contains(self.PreferredSymmetric, uint8(packet.CipherAES256))
		suites = suites && slices.ContainsFunc(self.PreferredCipherSuites, func(s [2]uint8) bool { return s[0] == uint8(packet.CipherAES256) })
	}
	if aead && suites || !aead && classic {
		return aes256
	}
	return aes128
}

// Unwrap returns the content of a file that [Sealer.Wrap] has made for the same
// name, with the same secret. io.EOF means that it is whole; its signature is not
// looked at.
func (s *Sealer) Unwrap(name string, r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if start, _ := in.Peek(peekSize); len(start) > 0 && start[0]&0x80 == 0 {
		block, err := armor.Decode(in)
		if err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		r = block.Body
	} else {
		r = in
	}
	packets := packet.NewReader(r)
	decrypted, err := s.decrypt(name, packets)
	if err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	if err := packets.Push(decrypted); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	for {
		p, err := packets.Next()
		if err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		if literal, ok := p.(*packet.LiteralData); ok {
			return &reread{literal.Body, packets, decrypted}, nil
		}
	}
}

// decrypt opens the encrypted packet with the session key of the name.
func (s *Sealer) decrypt(name string, packets *packet.Reader) (io.ReadCloser, error) {
	for {
		p, err := packets.Next()
		if err != nil {
			return nil, err
		}
		encrypted, ok := p.(*packet.SymmetricallyEncrypted)
		if !ok {
			continue
		}
		if !encrypted.IntegrityProtected {
			return nil, errors.New("not one of ours")
		}
		size, cipher := encrypted.Cipher.KeySize(), encrypted.Cipher
		if encrypted.Version == 1 { // does not say which cipher
			at := s.cfg.Now()
			size, cipher = sessionKeySize(s.recipients(), at, library(func() time.Time { return at })), packet.CipherAES256
			if size == aes128 {
				cipher = packet.CipherAES128
			}
		}
		key, err := s.sessionKey(name, size)
		if err != nil {
			return nil, err
		}
		return encrypted.Decrypt(cipher, key)
	}
}

func (s *Sealer) recipients() []*openpgp.Entity {
	to := make([]*openpgp.Entity, len(s.cfg.To))
	for i, k := range s.cfg.To {
		to[i] = k.entity
	}
	return to
}

// reread is the content of a message of ours.
type reread struct {
	body      io.Reader
	packets   *packet.Reader
	decrypted io.Closer
}

// Read implements [io.Reader].
func (r *reread) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	for {
		if _, err := r.packets.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return n, fmt.Errorf("read back: %w", err)
		}
	}
	if err := r.decrypted.Close(); err != nil {
		return n, fmt.Errorf("read back: %w", err)
	}
	return n, io.EOF
}
