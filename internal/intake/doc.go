// Package intake is the stage that turns order files into orders.
//
// For every file that its source's completion rule calls complete, one pass:
//
//	claim     a row in the store decides who takes the file, then plain renames
//	          take the order file and its control file out of everybody's sight
//	check     control file, duplicate by content, sequence, name
//	load      read once, streaming: decode, validate, encrypt for D1, seal,
//	          store; by all cores, in order, never on local disk in clear
//	prove     checksum, row count, rows per product
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
// Of the rows of a file, the first with an order_id, a PAN or a card counts.
// The PANs of a file are remembered in a few bytes each ([panSet]), so that
// memory grows by 16 MB per million rows and by nothing else.
//
// What is wrong with a file or with a row is data for its receipt, not an
// error. An error means that the stage could not do its job, and one source's
// error does not stop the others.
package intake
