// Package drop is the port to the place where files are exchanged with the
// bank: directories on an SFTP server, or local ones.
//
// Names are slash-separated paths relative to the drop's root, such as
// "in/cards-0427.csv"; "." is the root. Absolute names and names that climb
// with ".." are refused before anything is sent.
//
// # What a drop promises
//
//   - Nothing is ever overwritten. [Drop.Rename] and [Drop.Put] answer
//     [ErrExist] when the target is there, also on servers whose rename
//     would replace it.
//   - Nobody ever sees half of a file that we write: [Put] writes under a
//     temporary name that begins with a dot, in the same directory, reads
//     everything back, compares size and SHA-256, and only then renames.
//   - Success was looked at. Some servers answer OK while nothing lands on
//     their disk; the file is looked up after the step, and [ErrUnverified]
//     says that what the server promised is not there.
//   - A drop removes nothing but its own temporary files. One left by a
//     process that died is harmless: consumers skip hidden names (see
//     [Hidden]), and the next attempt takes another.
//
// # Errors
//
// [ErrNotExist] and [ErrExist] are about the files named. [ErrUnavailable]
// means that the drop could not be worked with at all: unreachable, silent,
// not the host we expect, or refusing our login; trying later may help. After
// an ErrUnavailable from Rename or Put the outcome is unknown: the request may
// have arrived and only its answer got lost. Nothing here repeats such a step;
// the caller looks at the directory again and decides.
//
// Claiming a file is a rename to a name that nobody else uses. When two
// processes rename the same file, one succeeds and the other gets ErrNotExist.
// The rename is not a commit point: what was taken is what the store says.
//
// The adapters are drop/localdir and drop/sftp; drop/droptest holds the
// behaviour both must show.
package drop
