package main

import (
	"strings"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/pgp"
)

func TestCheckShowsPGPKeys(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := writeKeys(&out, []app.PGPKey{
		{Of: "source core", Use: "decrypt", Info: pgp.Info{ID: "0123456789ABCDEF"}},
		{Of: "source core", Use: "verify", Info: pgp.Info{ID: "FEDCBA9876543210", Expires: time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC), Problem: "expired on 2026-02-28"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0123456789ABCDEF  source core  decrypt  never       -", "FEDCBA9876543210  source core  verify   2026-02-28  expired on 2026-02-28"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
