package pgp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"cardbatch/internal/issuance"
)

const (
	// maxSkew is how far the signer's clock may be ahead of ours.
	maxSkew = 10 * time.Minute
	// maxStart bounds what may come before the content: keys, signatures' heads,
	// and one chunk of authenticated encryption, of at most 4 MiB.
	maxStart = 8 << 20
	// maxRecipients bounds the keys of a message that we try to be one of.
	maxRecipients = 100
	peekSize      = 4 << 10
)

// OpenConfig says whose messages are taken.
type OpenConfig struct {
	Decrypt []Key // our private keys; at least one
	Verify  []Key // the sender's public keys
	// SignatureRequired refuses messages that are not signed by one of Verify.
	// When it is false, a message may be unsigned, but if Verify has keys, a
	// signature that is there must be good; without keys, none is looked at.
	SignatureRequired bool
	// MaxClear bounds the decrypted and decompressed bytes; 0 means no bound.
	MaxClear int64
	Now      func() time.Time // nil: the real clock
}

// Opener opens the messages of one sender. It may be used by several goroutines.
type Opener struct{ OpenConfig }

// NewOpener checks that the keys are of the right kind. Expiry is not looked at:
// that is for the day on which a file comes.
func NewOpener(cfg OpenConfig) (*Opener, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if len(cfg.Decrypt) == 0 {
		return nil, errors.New("set up decryption: there is no key")
	}
	if cfg.SignatureRequired && len(cfg.Verify) == 0 {
		return nil, errors.New("set up decryption: signatures are required, and there is no key to verify them")
	}
	for _, k := range cfg.Decrypt {
		if !hasPrivate(k.entity) {
			return nil, fmt.Errorf("set up decryption: key %s has no private half here", k)
		}
	}
	return &Opener{cfg}, nil
}

// Open starts to read a message and returns its content. Errors, also those of
// the reader returned, are [issuance.FileError] when the message is at fault.
func (o *Opener) Open(dropped io.Reader) (io.Reader, error) {
	m := &message{Opener: o, at: o.Now(), source: &source{r: dropped, limit: maxStart}}
	m.ring = &ring{Opener: o, at: m.at}
	if err := m.open(); err != nil {
		return nil, m.judge(err)
	}
	m.source.limit = 0
	return m, nil
}

// message is one message being read.
type message struct {
	*Opener
	at      time.Time
	source  *source
	in      *bufio.Reader // over source
	ring    *ring
	details *openpgp.MessageDetails
	clear   int64 // bytes given out
	err     error // final
}

func (m *message) open() error {
	m.in = bufio.NewReaderSize(m.source, 64<<10)
	start, err := m.in.Peek(peekSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var body io.Reader = m.in
	kind, isArmored := armored(start)
	switch {
	case isArmored && kind != openpgp.MessageType:
		return fault(issuance.PGPNotEncrypted, "the file is a %s, not an encrypted message", kind)
	case isArmored:
		block, err := armor.Decode(m.in)
		if err != nil {
			return damaged(err)
		}
		body = block.Body
	case len(start) == 0:
		return fault(issuance.PGPDamaged, "the file is empty: not even an encrypted file without rows would be")
	case !binary(start):
		return fault(issuance.PGPNotEncrypted, "the file is not a PGP message; this source takes encrypted files only")
	}
	return m.openPackets(body)
}

func (m *message) openPackets(body io.Reader) error {
	cfg := library(func() time.Time { return m.at.Add(maxSkew) })
	if m.MaxClear > 0 {
		limit := m.MaxClear + maxStart
		cfg.MaxDecompressedMessageSize = &limit
	}
	var err error
	m.details, err = openpgp.ReadMessage(body, m.ring, nil, cfg)
	if err != nil {
		return m.ring.explain(err)
	}
	switch {
	case !m.details.IsEncrypted:
		return fault(issuance.PGPNotEncrypted, "the file is a PGP message, but not an encrypted one")
	case !strong(m.details.DecryptedWithAlgorithm):
		return fault(issuance.PGPWeak, "the file is encrypted with a cipher that is no longer safe; use AES-256")
	}
	return nil
}

// Read implements [io.Reader]. See the package comment for what io.EOF means.
func (m *message) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.details.UnverifiedBody.Read(p)
	m.clear += int64(n)
	switch {
	case m.MaxClear > 0 && m.clear > m.MaxClear:
		n, err = 0, fault(issuance.TooLarge, "the file is larger than %d bytes when decrypted", m.MaxClear)
	case errors.Is(err, io.EOF):
		if err = m.finish(); err == nil {
			err = io.EOF
		}
	}
	if err != nil {
		m.err = m.judge(err)
	}
	return n, m.err
}

// finish decides about a message that was read to its end.
func (m *message) finish() error {
	if err := m.checkTail(); err != nil {
		return err
	}
	return m.checkSignatures()
}

// checkTail reads the source to its end, where nothing but the last line of the
// armor may be left.
func (m *message) checkTail() error {
	const tooMuch = 256 // bytes of a last line and some blanks
	rest, err := io.ReadAll(io.LimitReader(m.in, tooMuch))
	if err != nil {
		return err
	}
	rest = bytes.TrimSpace(rest)
	rest = bytes.TrimSpace(bytes.TrimPrefix(rest, []byte("-----END PGP MESSAGE-----")))
	if len(rest) > 0 {
		return fault(issuance.PGPDamaged, "something follows the PGP message in the file")
	}
	if _, err := m.in.Peek(1); !errors.Is(err, io.EOF) {
		return errors.Join(err, fault(issuance.PGPDamaged, "something follows the PGP message in the file"))
	}
	return nil
}

// judge turns what the library says into what the sender is told.
func (m *message) judge(err error) error {
	var file *issuance.FileError
	switch {
	case errors.Is(err, io.EOF) && m.source.err == nil && m.details != nil:
		return err
	case m.source.err != nil:
		return m.source.err
	case m.source.overrun():
		return fault(issuance.PGPDamaged, "the PGP message does not come to its content")
	case errors.As(err, &file):
		return file
	default:
		return damaged(err)
	}
}

func fault(code issuance.Code, format string, args ...any) error {
	return &issuance.FileError{Code: code, Text: fmt.Sprintf(format, args...)}
}

// damaged is all that is said of a message that cannot be read on.
func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fault(issuance.PGPDamaged, "the PGP message is cut short: send it again")
	}
	return fault(issuance.PGPDamaged, "the PGP message is damaged, or was changed on its way: send it again")
}

// binary reports whether a file begins with a packet that a message can begin
// with. A byte order mark or Latin-1 text would pass for a packet, too.
func binary(start []byte) bool {
	if len(start) == 0 || start[0]&0x80 == 0 {
		return false
	}
	tag := start[0] & 0x3f // new format
	if start[0]&0x40 == 0 {
		tag = start[0] & 0x3f >> 2
	}
	// RFC 9580, 5: encrypted keys 1 and 3, signatures 2 and 4, compressed 8,
	// encrypted 9, 18 and 20, marker 10, literal 11, padding 21.
	return slices.Contains([]byte{1, 2, 3, 4, 8, 9, 10, 11, 18, 20, 21}, tag)
}

func strong(c packet.CipherFunction) bool {
	return c == packet.CipherAES128 || c == packet.CipherAES192 || c == packet.CipherAES256
}

// source remembers whether reading the file itself has failed: then the message
// is not to blame.
type source struct {
	r     io.Reader
	n     int64
	limit int64 // 0: none
	err   error
}

var errOverrun = errors.New("too much before the content")

func (s *source) overrun() bool { return s.limit > 0 && s.n >= s.limit }

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	if s.overrun() {
		return 0, errOverrun
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// ring gives the library the keys that count at a time and remembers what it
// was asked for.
type ring struct {
	*Opener
	at    time.Time
	asked []uint64
	ours  []string // keys of ours that were asked for and do not count
	tried bool     // one of ours was given
}

// KeysById implements [openpgp.KeyRing].
//
//nolint:revive // the library's name
func (r *ring) KeysById(id uint64) []openpgp.Key {
	return openpgp.EntityList(r.EntitiesById(id)).KeysById(id)
}

// EntitiesById implements [openpgp.KeyRing]. The library takes the first for a
// signature, so the sender's keys come first, those that count before the others.
//
//nolint:revive // the library's name
func (r *ring) EntitiesById(id uint64) []*openpgp.Entity {
	if r.asked = append(r.asked, id); len(r.asked) > maxRecipients {
		return nil
	}
	cfg := library(func() time.Time { return r.at })
	var good, bad, own []*openpgp.Entity
	for _, e := range matching(r.Verify, id) {
		if problem(e, id, r.at, cfg) == "" {
			good = append(good, e)
		} else {
			bad = append(bad, e)
		}
	}
	for _, e := range matching(r.Decrypt, id) {
		if text := problem(e, id, r.at, cfg); text != "" {
			r.ours = append(r.ours, keyID(e.PrimaryKey.KeyId)+", which "+text)
			continue
		}
		r.tried = r.tried || id != 0
		own = append(own, e)
	}
	return slices.Concat(good, bad, own)
}

// matching returns the keys that have an id, or all of them for the id 0, which
// hides who a message is for.
func matching(keys []Key, id uint64) []*openpgp.Entity {
	list := make(openpgp.EntityList, len(keys))
	for i, k := range keys {
		list[i] = k.entity
	}
	var found []*openpgp.Entity
	for _, e := range list.EntitiesById(id) {
		if !slices.Contains(found, e) {
			found = append(found, e)
		}
	}
	return found
}

// explain says why a message could not be opened.
func (r *ring) explain(err error) error {
	if text := err.Error(); strings.Contains(text, "not integrity protected") {
		return fault(issuance.PGPWeak, "the file is encrypted without integrity protection (MDC): anybody could have changed it")
	}
	if !errors.Is(err, errNoKey) {
		return damaged(err)
	}
	switch {
	case len(r.asked) == 0:
		return fault(issuance.PGPNotForUs, "the file is not encrypted to a key (with a passphrase?); encrypt it to %s", keyIDs(r.Decrypt))
	case r.tried:
		return fault(issuance.PGPDamaged, "the file is encrypted to our key, but cannot be opened: it is damaged, or not encrypted with AES")
	case len(r.ours) > 0:
		return fault(issuance.PGPNotForUs, "the file is encrypted to our key %s; encrypt it to the current one", r.ours[0])
	}
	ids := make([]string, 0, 3)
	for _, id := range r.asked[:min(len(r.asked), cap(ids))] {
		if id == 0 {
			ids = append(ids, "a key that it hides")
			continue
		}
		ids = append(ids, keyID(id))
	}
	return fault(issuance.PGPNotForUs, "the file is encrypted to %s; encrypt it to %s", strings.Join(ids, ", "), keyIDs(r.Decrypt))
}
