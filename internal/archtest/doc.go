// Package archtest keeps the architecture true. It has no code of its own: its
// test asks the go command for every package of the module, with its imports,
// and fails with the reason when a rule is broken.
package archtest
