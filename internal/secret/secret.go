// Package secret holds configured secrets in a type that cannot be printed by
// accident: every way of formatting, logging or encoding a [Value] shows
// "[secret]". Reading one is an explicit call to Reveal.
package secret

import (
	"fmt"
	"os"
	"strings"
)

const redacted = "[secret]"

// Value is a secret. The zero value is empty.
//
// The text is behind a pointer because fmt walks unexported fields of other
// structs without asking for methods: there it shows an address.
type Value struct{ text *string }

// New wraps a secret.
func New(text string) Value { return Value{&text} }

// FromFile reads a secret from a file, as systemd credentials and mounted
// secrets come, without the line end that editors add.
func FromFile(path string) (Value, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the configuration
	if err != nil {
		return Value{}, fmt.Errorf("read secret: %w", err)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		return Value{}, fmt.Errorf("read secret: %s is empty", path)
	}
	return Value{&text}, nil
}

// Reveal returns the secret itself.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return v.Reveal() == "" }

// Format implements [fmt.Formatter] and shows nothing, whatever the verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String implements [fmt.Stringer].
func (v Value) String() string { return redacted }

// MarshalText implements [encoding.TextMarshaler], which JSON, YAML and most
// loggers use.
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
