package sftp

import (
	"testing"

	"cardbatch/internal/secret"
)

func TestDefaultPort(t *testing.T) {
	for address, want := range map[string]string{
		"bank.example":      "bank.example:22",
		"bank.example:2222": "bank.example:2222",
		"192.0.2.1":         "192.0.2.1:22",
		"2001:db8::1":       "[2001:db8::1]:22",
		"[2001:db8::1]":     "[2001:db8::1]:22",
		"[2001:db8::1]:222": "[2001:db8::1]:222",
	} {
		cfg, err := Config{Address: address, User: "u", Password: secret.New("fake"), KnownHosts: "x"}.withDefaults()
		if err != nil || cfg.Address != want {
			t.Errorf("%s becomes %s, %v", address, cfg.Address, err)
		}
		if cfg.IdleTimeout == 0 || cfg.DialTimeout == 0 || cfg.KeepAlive == 0 || cfg.MaxConnections == 0 {
			t.Errorf("defaults are missing: %+v", cfg)
		}
	}
}

// TestDialogue: the password answers a hidden question and no other.
func TestDialogue(t *testing.T) {
	password := secret.New("fake")
	got, err := answers(password, []string{"Password: "}, []bool{false})
	if err != nil || len(got) != 1 || got[0] != "fake" {
		t.Errorf("%d answers, %v", len(got), err)
	}
	if got, err := answers(password, nil, nil); err != nil || len(got) != 0 {
		t.Errorf("%d answers to no question, %v", len(got), err)
	}
	if _, err := answers(password, []string{"Your name: "}, []bool{true}); err == nil {
		t.Error("the password would be shown")
	}
}
