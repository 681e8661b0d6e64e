package intake

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestByNumber(t *testing.T) {
	want := strings.Fields("1.csv a a-01 a-1 a-2 a-2-9 a-2-10 a-10 a-20260301 b-99999999999999999999998 b-99999999999999999999999")
	got := slices.Clone(want)
	slices.Sort(got)
	slices.SortFunc(got, byNumber)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
