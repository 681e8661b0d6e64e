package cardholder

import "fmt"

const redacted = "[personal]"

// Text is a piece of personal or card data. The zero value is empty.
type Text struct {
	// A closure, because fmt and go-cmp follow pointers and unexported fields
	// without asking for methods; of a function they show the address.
	reveal func() string
}

// NewText wraps a clear text.
func NewText(text string) Text {
	if text == "" {
		return Text{}
	}
	return Text{func() string { return text }}
}

// Reveal returns the clear text.
func (t Text) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// IsZero reports whether the text is empty.
func (t Text) IsZero() bool { return t.reveal == nil }

// Equal reports whether both texts are the same.
func (t Text) Equal(u Text) bool { return t.Reveal() == u.Reveal() }

// Format implements [fmt.Formatter] and shows nothing, whatever the verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String implements [fmt.Stringer].
func (t Text) String() string { return redacted }

// MarshalText implements [encoding.TextMarshaler], which YAML, CSV and most
// loggers use.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements [encoding/json.Marshaler].
func (t Text) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// UnmarshalCSV takes over a cell of a CSV file. There is no way back: encoding
// a Text as CSV gives the redacted form.
func (t *Text) UnmarshalCSV(cell string) error {
	*t = NewText(cell)
	return nil
}
