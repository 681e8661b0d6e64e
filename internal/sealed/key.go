package sealed

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
)

// LoadKey reads a key from a file that holds KeySize bytes as hexadecimal
// digits or as base64 (standard or URL alphabet, with or without padding),
// such as `openssl rand -hex 32` prints. Space around it is ignored. The
// error never repeats the content.
func LoadKey(path string) ([]byte, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the configuration
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, ok := parseKey(bytes.TrimSpace(content))
	if !ok {
		return nil, fmt.Errorf("read key: %s does not hold %d bytes as hexadecimal digits or base64", path, KeySize)
	}
	return key, nil
}

// parseKey relies on the length: what is a key in one form is none in another.
func parseKey(text []byte) ([]byte, bool) {
	if len(text) == hex.EncodedLen(KeySize) {
		key := make([]byte, KeySize)
		_, err := hex.Decode(key, text)
		return key, err == nil
	}
	text = bytes.TrimRight(text, "=")
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		key, err := alphabet.Strict().AppendDecode(nil, text)
		if err == nil && len(key) == KeySize {
			return key, true
		}
	}
	return nil, false
}
