package d1_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
)

// In a body of 5 MiB there is room for a million empty operations, each of which
// takes hundreds of bytes once it is read.
func TestTooManyOperations(t *testing.T) {
	list := func(n int, element string) []byte {
		return []byte(`{"operations":[` + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + `]}`)
	}
	for _, element := range []string{"{}", "0", "[0,0]"} {
		body := list(5<<20/(len(element)+1), element)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := d1.ParseOperations(body)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, issuance.ErrTooManyOperations) {
			t.Errorf("%s: %v", element, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: took %d MiB", element, took>>20)
		}
	}
	for _, body := range [][]byte{
		list(d1.MaxOperations, "{}"),
		list(d1.MaxOperations/2, `{"operationId":"a","operation":"PRODUCE","status":"PENDING"}`),
		[]byte(`{"other":[` + strings.Repeat("0,", 2*d1.MaxOperations) + `0],"operations":[{}]}`),
	} {
		if _, err := d1.ParseOperations(body); err != nil {
			t.Error(err)
		}
	}
	if _, err := d1.ParseOperations([]byte(strings.Repeat(",", 2*d1.MaxOperations))); !errors.Is(err, d1.ErrNotJSON) {
		t.Error(err)
	}
}
