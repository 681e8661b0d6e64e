package intake

import (
	"strings"
	"testing"

	"cardbatch/internal/issuance"
)

// TestShareOfRejects: a share is exceeded by one row more, for every whole
// percentage, although few of them are exact in binary.
func TestShareOfRejects(t *testing.T) {
	for percent := range int64(100) {
		src := &Source{Accept: AcceptRows, MaxRejects: float64(percent) / 100}
		for _, scale := range []int64{1, 3, 10_000, 160_000} {
			if v := checkRejects(src, 100*scale, percent*scale); v.refused() {
				t.Errorf("%d of %d: %s", percent*scale, 100*scale, v.reason)
			}
			v := checkRejects(src, 100*scale, percent*scale+1)
			if !v.refused() {
				t.Errorf("%d of %d are taken with %d %%", percent*scale+1, 100*scale, percent)
			}
			if strings.Contains(v.reason, "99999") || strings.Contains(v.reason, "00001 %") {
				t.Errorf("not for people: %s", v.reason)
			}
		}
	}
	src := &Source{Accept: AcceptRows, MaxRejects: 0.005}
	if v := checkRejects(src, 1000, 6); v.code != issuance.TooManyRejects || !strings.Contains(v.reason, "more than the 0.5 % this") {
		t.Errorf("%s %s", v.code, v.reason)
	}
}
