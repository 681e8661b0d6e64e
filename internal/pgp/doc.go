// Package pgp opens the OpenPGP messages that order files come in and makes
// those that reports leave in. It works as a stream in both directions: memory
// does not grow with the file, and nothing decrypted touches a disk.
//
//	keys, err := pgp.PrivateKeys(file, passphrase)    // or PublicKeys
//	opener, err := pgp.NewOpener(pgp.OpenConfig{...}) // per source
//	csv, err := opener.Open(dropped)                  // fits intake.Source.Unwrap
//	sealer, err := pgp.NewSealer(pgp.SealConfig{...}) // per place of reports
//
// # Opening
//
// A message may be armored or binary, compressed or not, and encrypted to
// several keys, one of which must be ours. It may carry several signatures, one
// of which must be good. Two keys on either side make a rotation possible
// without a moment in which both sides must change at once.
//
// Integrity code and signature stand at the end of a message. Until then, what
// the reader returns is a claim: only its io.EOF says that the message was
// whole, unchanged and, if so wanted, signed by a key we know. io.EOF also means
// that the source was read to its own end, and that nothing followed the message.
// So rows may be worked on as they come, but nothing may be decided before io.EOF.
//
// What is wrong with a message is an [issuance.FileError]; every other error is
// that of reading the source, passed on as it is. The texts tell the sender
// which key was used and which is expected, never why decrypted bytes made no
// sense: that would help somebody who sends us altered copies of a file.
//
// # What is refused
//
// Messages without integrity protection, ciphers other than AES, signatures over
// MD5, SHA-1 or RIPEMD-160, RSA below 2047 bits, DSA, ElGamal: all that GnuPG 2.1
// and later does not do unless told to. Keys that have expired or were revoked
// count for nothing, by the clock given, on either side: a key's expiry is the
// date on which its owner promised to have stopped using it. A signature may be
// dated up to ten minutes ahead of our clock.
//
// # Sealing
//
// Encryption makes other bytes each time, by design. Whoever must know later
// whether a file is what it would write now (see package report) opens it again:
// the session key is not drawn but derived, by HKDF-SHA256, from a secret of ours
// and the file's name. OpenPGP starts every message with fresh random bytes, so
// that writing a name twice under the same session key gives nothing away. The
// price is that whoever has the secret can read the reports; it lies with keys
// that protect the same data at rest.
package pgp
