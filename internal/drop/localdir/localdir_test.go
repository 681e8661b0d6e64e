package localdir_test

import (
	"testing"

	"cardbatch/internal/drop"
	"cardbatch/internal/drop/droptest"
	"cardbatch/internal/drop/localdir"
)

func TestConformance(t *testing.T) {
	droptest.Run(t, func(t *testing.T) (drop.Drop, string) {
		t.Helper()
		dir := t.TempDir()
		d, err := localdir.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d, dir
	})
}
