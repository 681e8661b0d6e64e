// Package cardholder holds card data and personal data in types that cannot be
// printed by accident.
//
// A [Text] (a name, an address line, a security code) shows "[personal]" and a
// [PAN] shows its first six and last four digits, whatever the verb, logger or
// encoder, and also when they sit in unexported fields of other structs, where
// fmt does not ask for methods: the value is behind a function and shows as an
// address. Reading one is an explicit call to Reveal, so that a search for
// "Reveal()" lists every place where clear data is used.
//
// [Instruction] is one validated row of an order file: all that D1 must be
// told about one card. [Fingerprinter] derives keyed digests, the only form in
// which a PAN or a row may be compared after the row is gone.
//
// The types do not compare with ==; use Equal, as go-cmp does.
package cardholder
