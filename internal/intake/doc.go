// Package intake is the stage that turns order files into orders.
//
// For every file that its source's completion rule calls complete (see
// [Completion]), one pass:
//
//	claim     a row in the store decides who takes the file, then plain renames
//	          take the order file, its control file and its marker out of
//	          everybody's sight
//	check     control file, duplicate by content, sequence, name
//	load      read once, streaming: decode, validate, encrypt for D1, seal,
//	          store; by all cores, in order, never on local disk in clear
//	prove     unchanged while it was read, checksum, row count, rows per product
//	decide    accepted, held or refused, in one step for all of its orders
//	archive   the original moves to the archive or to the quarantine directory
//
// Nothing of a file can be sent before it is decided, so a crash anywhere
// before that costs only time: the next run finds the batch still loading,
// discards what was stored and loads the same bytes again. A crash after it
// leaves the original to be moved, which the next run does first.
//
// A source may be strict about sequence numbers: then a file after a missing
// one is held, complete and with its orders stored, but not sent. Held files go
// in the order of their numbers as soon as the gap is closed, in the same run;
// an operator may let one pass, which closes the gap before it. A number below
// the last one taken is a late file, and welcome.
//
// A source may have files of changes of orders instead ([Source.Changes]). They
// differ in what becomes of a row, and in nothing else.
//
// Of the rows of a file, the first with an order_id, a PAN or a card counts.
// The PANs of a file are remembered in a few bytes each ([panSet]), so that
// memory grows by 16 MB per million rows and by nothing else.
//
// What is wrong with a file or with a row is data for its receipt, not an
// error. An error means that the stage could not do its job, and one source's
// or one file's error does not stop the others.
//
// # Never stuck, never half
//
// Each line has its test, in never_test.go, server_test.go, completion_test.go
// and kill_test.go.
//
//	a lone quote                   its row is rejected, BAD_QUOTE; the next line is the next row
//	a line of 100 MB               FILE_UNREADABLE, after at most 64 KiB of it, in constant memory
//	a million columns              the same; some columns too many: the row is rejected, FIELD_COUNT
//	NUL bytes                      in a value: the row is rejected; nothing else: FILE_UNREADABLE
//	a file that changes while      nothing of it is accepted; it is set aside and read again by
//	read, or after it was seen     every run until it stays the same, a quiet one until it is
//	quiet                          quiet again; FILE_UNREADABLE after give_up_after
//	a connection that is cut       nothing stays behind; the next run takes the file whole
//	a rename that fails            set aside and tried again; whether the server has done it is
//	                               looked up, never assumed
//	a server that reports success  not read before it is out of sight; tried again
//	without a rename
//	a server without posix-rename  not missed: only the plain rename is used, to unique names
//	an original that cannot be     set aside, tried again by every run, FILE_UNREADABLE after
//	read                           give_up_after; at once where permission is denied
//	an original that cannot be     decided all the same; the run fails and the next one tries
//	archived                       again; other files are taken
//	a full disk under the store    nothing of the transaction stays; with space the next run goes on
//	a full disk under the drop     a report is not there at all and is written again, see package drop
//	a second process on the store  the batch row decides; a listing that has become stale is noticed
//	a second daemon with another   the rename decides; who comes second records FILE_UNREADABLE,
//	store                          "gone when it was to be taken", and loads nothing
//	kill -9 at any point           starts over, without a duplicate; who kills us again and again
//	                               goes last
//	a source taken out of the      its unfinished file is set aside: other sources of the issuer
//	configuration                  go on, and it is taken when the source comes back
//	a file that never completes,   reported as stuck after stuck_after: in the summary of every
//	an upload left behind, a       run, and in the log once a day with the reason; it is no
//	control file or marker alone,  failure of the run
//	a name nobody expects
//
// Set aside means: still loading, none of its rows kept, and no other file of
// the issuer waits for it; cardbatch batches --state loading shows it with the
// reason.
package intake
