// Package sftp is the file drop on an SFTP server.
//
//	d, err := sftp.New(sftp.Config{
//		Address:  "sftp.bank.example:22",
//		User:     "cardbatch",
//		Password: password,
//		HostKeys: []string{"SHA256:..."},
//		Root:     "/exchange/cards",
//	})
//
// New opens no connection; the first operation does. [Drop.Close] ends all.
//
// # Connections
//
// Every operation has a connection for itself, from Open until the file is
// closed. Idle connections are kept and reused. A connection on which
// anything but a plain answer of the server was seen (an end of file, a
// timeout, a garbled packet) is thrown away together with its ssh session; a
// refused permission or a missing file is a plain answer. An operation that
// finds its reused connection dead starts again on a fresh one, as long as it
// only looked: a rename or a write that was sent is never sent again.
//
// # Nothing hangs
//
// The SFTP library has no deadlines of its own, so the connection is what
// ends a stuck call, and three things can close it: the caller's context; a
// deadline that moves with every byte received, which keepalives every
// [Config.KeepAlive] feed while the host lives; and a watchdog on every
// request, for a server whose host lives while its file service does not
// answer. Connecting and logging in have a deadline of their own.
//
// # Host keys
//
// A host is known by fingerprints or by a known_hosts file; there is no way to
// connect to an unknown one. Several fingerprints may be given: the old and
// the new key during a change, or the keys of several servers behind one
// address. A fingerprint does not tell the type of its key, and a server with
// keys of several types shows only one, so when that is not the one pinned, the
// other types are asked for before the host is refused. Credentials are
// sent to no host that was not recognised.
//
// # Servers differ
//
// Only operations of version 3 of the protocol are used, requests are not
// larger than 32 KiB, and files are read and written through one handle. The
// rename is the protocol's plain one, which should not replace files; because
// some servers do replace, the target is looked up first. A rename that was
// answered with success is looked up, too: without the file at its target it is
// unverified, or, when the source is gone as well, somebody else's success. No
// more than one handle is open on a connection. No modes or times
// are set on files. Syncing is asked for only where the server offers it and
// not missed if it is refused.
package sftp
