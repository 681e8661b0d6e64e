// Package orderfile is the codec of order files and their control files: bytes
// to rows or row errors, and back. What a row's values must be is package
// validate's business.
//
// A [Decoder] reads a CSV in one pass with constant memory. It is strict where
// CSV libraries are forgiving, because here a forgiven row is a wrong card:
//
//   - The header is compared with the schema before any row. A misspelt column
//     would otherwise be an empty column.
//   - Every value is text. gocsv would read the number 010 as 8.
//   - The decoder finds the rows itself before gocsv sees them, one at a time.
//     So line numbers are those of the file, also after a quoted line break,
//     and a bad row is an error of that row and ends neither the file nor the
//     rows after it.
//   - A double quote that opens a field and never closes would swallow the
//     rest of the file. A row has at most [Options.MaxRow] bytes, and a row
//     whose quotes do not work out is taken to end with its first line: one row
//     is reported and reading goes on with the next line.
//
// A source whose files differ from the contract has a [Format], made ready as a
// [Layout]: delimiter, charset, its own column names, constants, translated
// values, columns that may be absent or extra. It is applied while reading, so
// everything behind the decoder, digests of content included, sees the same row
// whatever its format. Lines end with LF, CRLF or CR; the first line decides
// whether CR counts.
//
// Charsets of single bytes are converted row by row, after the rows have been
// found: a byte that is no character, reported with its offset, costs one row.
// UTF-16 is converted before, and a fault in it condemns the file. Single-byte
// rows that can only be UTF-8 are refused, or they would print as "BesanÃ§on".
//
// Errors come in three kinds. [Record.Err] is about one row. A [HeaderError],
// a [FormatError] or an [issuance.FileError] condemns the file: it will never
// get better. Any other error is about reading and says nothing about the file:
// it may be read again.
//
// Blank lines are skipped, and a line break in a quoted value arrives as LF.
package orderfile
