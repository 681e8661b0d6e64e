package secret_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cardbatch/internal/secret"
)

func TestCannotBePrinted(t *testing.T) {
	const hidden = "s3cr3t-value"
	v := secret.New(hidden)
	holder := struct {
		Password secret.Value
		Pointer  *secret.Value
		private  secret.Value
	}{v, &v, v}
	inJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{string(inJSON), v.String(), fmt.Errorf("login with %v", v).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, v), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &v))
	}
	for i, s := range shown {
		if strings.Contains(s, hidden) || strings.Contains(s, fmt.Sprintf("%x", hidden)) {
			t.Errorf("way %d of printing shows the secret", i)
		}
	}
	if v.Reveal() != hidden {
		t.Error("Reveal does not return the secret")
	}
}

func TestFromFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "password")
	if err := os.WriteFile(path, []byte("abc\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := secret.FromFile(path)
	if err != nil || v.Reveal() != "abc" {
		t.Fatalf("got a wrong value, error %v", err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.FromFile(path); err == nil {
		t.Error("an empty secret was accepted")
	}
	if _, err := secret.FromFile(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file was accepted")
	}
}
