// Package tableschema reads a Table Schema (Data Package 2.0) and checks the
// header and the cells of a table against it.
//
// It supports what our own schemas need: string fields with the constraints
// required, enum, pattern, minLength and maxLength, and fieldsMatch "exact".
// Anything else in a schema is an error at parse time, so that a constraint can
// never be written down and silently not be checked.
//
// Patterns that are a plain sequence of character classes, which is nearly
// all of them, are compiled to table look-ups: they are run on every cell of
// files with millions of rows. The rest uses package regexp. Both decide the
// same, which a test proves.
package tableschema
