// Package report is the stage that tells the bank what became of its order
// files: it writes files into the drop, each announced by a control file.
//
//	<stem>.receipt.csv             right after intake: what was taken and what was not
//	<stem>.reconciliation.csv      when the batch has settled: every row of the order file
//	<stem>.reconciliation.r2.csv   a later edition, when something has changed
//	status-<issuer>-<date>-<n>.csv whatever production and shipment brought since the last one
//	exceptions-<issuer>-<date>-<n>.csv what needs a person, by package ageing
//
// The columns are in schemas/report-*.v1.table.json, the control file in
// schemas/report-control.v1.schema.json. The figures that prove a file (rows,
// checksum, control totals, whether they balance) stand in the control file.
//
// # When a file is due
//
// The stage looks at rows and owes:
//
//   - a receipt for every batch that was accepted, held or refused; a further
//     edition when a person has decided otherwise since. That of a refused file
//     also goes beside the file, into the quarantine directory, named like the
//     file there;
//   - a reconciliation for a batch that has settled, another one when something
//     changed since the last and that is ReviseEvery old, and a last one when the
//     batch has closed. A batch that has still not settled ReviseEvery after
//     it was accepted gets one, too: no row may go unmentioned for days because one
//     order waits for somebody;
//   - a status file and an exceptions file for every run that asks for one,
//     even an empty one, so that its absence always means trouble.
//
// # How it is delivered
//
// What is owed is first planned: a row in the store fixes name and edition.
// Then the file is streamed from the store into the drop under a temporary
// name, verified and renamed; then its control file; then the row is marked
// delivered. The process may die between any two of these steps: the next run
// finds the plan, and perhaps the file. A file that is exactly what would be
// written now gets its control file; one that was announced already is marked;
// anything else stays untouched and the plan takes the next edition's name. So
// a reader trusts a file when its control file is there, and only then, and may
// be handed the same edition twice only if it took the first away before the
// mark was made.
//
// Files are a function of rows: written twice, they are the same bytes. The
// times in them come from the rows, that of creation from the plan, and so do
// the ages of an exceptions file. That one shows how things stood, and tomorrow
// they stand otherwise: a file of it that a crash has left whole, but not announced, is
// not compared with what would be written now. It stands, and its totals are
// counted from itself.
//
// # Encryption
//
// A place may have an envelope, which encrypts files on their way: names end
// with .pgp then, size and checksum of the control file are those of the bytes
// delivered. The control file itself stays clear. It has counts and names, no rows; it must
// be readable by what only moves files and checks them, and it is what a crash
// is repaired by. An envelope is other bytes each time, so a file found after a
// crash is opened again and its content compared with what would be written now;
// package pgp says how it can be opened by us. A plan made before encryption was
// switched on or off takes the name that fits first.
//
// One dead destination does not stop the others. What could not be delivered
// stays planned, and RunOnce returns an error that wraps drop.ErrUnavailable.
//
// # CSV
//
// UTF-8 without a byte order mark, a header row, comma, quoted as RFC 4180
// says, lines ended by LF alone: every CSV reader takes it, and line tools do not trip
// over a CR in the last column. No cell contains a line break, so that a
// file has as many lines as rows, plus one. Times are RFC 3339 in UTC.
//
// A spreadsheet takes a cell that begins with = + - @ for a formula. Such cells
// get a leading apostrophe (OWASP's rule). Identifiers made of nothing but
// letters, digits, "-" and "_" are left alone, even with a leading "-": without
// parentheses, quotes or operators of a call they can do no harm, and a changed
// identifier would match nothing at the other end.
//
// encoding/csv writes them, not gocsv, which takes 1.6 µs and 21 allocations
// for a row of reflection where a record filled by hand takes 0.3 µs and none.
package report
