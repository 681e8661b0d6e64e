package orderfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"cardbatch/internal/issuance"
	"cardbatch/schemas"
)

// MaxControl is the most bytes a control file may have.
const MaxControl = 1 << 20

// ControlSuffix makes the name of a control file from that of its order file.
const ControlSuffix = ".ctl"

// ParseControl reads a control file by its JSON Schema. The error names every
// member that breaks it. The checksum comes back in lower case.
func ParseControl(file []byte) (issuance.Control, error) {
	var c issuance.Control
	if len(file) > MaxControl {
		return c, fmt.Errorf("control file: more than %d bytes", MaxControl)
	}
	file = bytes.TrimPrefix(file, []byte("\xEF\xBB\xBF"))
	if err := uniqueMembers(file); err != nil {
		return c, fmt.Errorf("control file: %s", shorten(err.Error()))
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(file))
	if err != nil {
		return c, errors.New("control file: is not JSON")
	}
	schema, err := controlSchema()
	if err != nil {
		return c, err
	}
	if err := schema.Validate(value); err != nil {
		return c, fmt.Errorf("control file: %s", shorten(explain(err)))
	}
	if err := json.Unmarshal(file, &c); err != nil {
		return issuance.Control{}, fmt.Errorf("control file: %w", err)
	}
	c.SHA256 = strings.ToLower(c.SHA256)
	return c, nil
}

// EncodeControl writes a control file.
func EncodeControl(c issuance.Control) ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write control file: %w", err)
	}
	return append(b, '\n'), nil
}

var controlSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	b, err := schemas.FS.ReadFile(schemas.ControlFileV1)
	if err != nil {
		return nil, fmt.Errorf("read control file schema: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("parse control file schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(schemas.ControlFileV1, doc); err != nil {
		return nil, fmt.Errorf("add control file schema: %w", err)
	}
	s, err := c.Compile(schemas.ControlFileV1)
	if err != nil {
		return nil, fmt.Errorf("compile control file schema: %w", err)
	}
	return s, nil
})

// maxReason is the most bytes of an error that are told: its texts repeat
// names and values of the file, which may be of any length.
const maxReason = 1000

func shorten(text string) string {
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "..."
}

// explain puts the leaves of a schema error in one line, in a fixed order.
func explain(err error) string {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	printer := message.NewPrinter(language.English)
	var texts []string
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) > 0 {
			return
		}
		text := e.ErrorKind.LocalizedString(printer)
		if len(e.InstanceLocation) > 0 {
			text = strings.Join(e.InstanceLocation, ".") + ": " + text
		}
		texts = append(texts, text)
	}
	walk(invalid)
	sort.Strings(texts)
	return strings.Join(texts, "; ")
}

// uniqueMembers refuses JSON in which a member is there twice: which of the two
// counts is for nobody to guess.
func uniqueMembers(file []byte) error {
	dec := json.NewDecoder(bytes.NewReader(file))
	if err := uniqueValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// maxDepth bounds the nesting of a control file; echo may hold anything.
const maxDepth = 32

func uniqueValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return errors.New("is not JSON")
	}
	open, composite := token.(json.Delim)
	if !composite {
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("is nested deeper than %d levels", maxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			token, err := dec.Token()
			if err != nil {
				return errors.New("is not JSON")
			}
			name, _ := token.(string)
			if seen[name] {
				return fmt.Errorf("member %q is there twice", name)
			}
			seen[name] = true
		}
		if err := uniqueValue(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("is not JSON")
	}
	return nil
}
