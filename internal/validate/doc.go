// Package validate decides whether a row of an order file is an order we may
// send, and turns it into D1's terms.
//
// It is pure: no clock, no files, no store. A [Validator] is made for one run,
// with the products and the time of that run, and may be used by many
// goroutines.
//
// The constraints of single columns come from the published schema
// (schemas/order-file.v1.table.json), which is checked here as it is written
// there. On top of it come the rules that need the product, the clock or
// several columns:
//
//   - the product is configured, and allows priority, delivery, carrier,
//     packaging, inserts and countries
//   - clear card data or a ready-made JWE, one of the two and complete
//   - the PAN has a right check digit and is in a BIN range of the product
//   - the expiry is ahead and within the product's validity; a likely MMYY is
//     named as such
//   - no identifier, and nothing that is printed, is a PAN of ours
//   - postal codes have the form of their country
//   - every address has a name; an individual address, when given, is complete
//   - BULK comes with a group, INDIVIDUAL without
//
// All errors of a row are reported, in column order. Their texts are for the
// people who write the export. They never repeat a value of a sensitive
// column; [issuance.RowError].Masked has what may be shown.
//
// # Names that can be embossed
//
// The letters A-Z and a-z, space and . ' / -, at most 26 of them. Others are
// rejected, unless the product allows [Transliteration]: then the name is
// checked, and sent, as it will be embossed. What is left after it, such as
// Greek or Cyrillic letters, is rejected all the same: how those are written
// is the bank's decision.
//
// # Postal codes
//
// Checked by form only, for the countries that have one, and taken as they are
// for the others.
package validate
