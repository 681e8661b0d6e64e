package issuance_test

import (
	"strings"
	"testing"

	"cardbatch/internal/issuance"
)

func TestCollide(t *testing.T) {
	first := issuance.FirstUse{FileName: "a.csv", Line: 7, ContentMAC: []byte{1, 2}}
	for name, tc := range map[string]struct {
		mac   []byte
		state issuance.State
		code  issuance.Code
	}{
		"identical":  {[]byte{1, 2}, issuance.Duplicate, issuance.OrderRepeated},
		"other":      {[]byte{1, 3}, issuance.Rejected, issuance.OrderConflict},
		"no content": {nil, issuance.Rejected, issuance.OrderConflict},
	} {
		t.Run(name, func(t *testing.T) {
			n := issuance.NewOrder{Payload: []byte("sealed"), Order: issuance.Order{
				Ref: issuance.NewRef(3, 4), Line: 5, OrderID: "o-1", State: issuance.Ready, ContentMAC: tc.mac}}
			n.Collide(first)
			if n.State != tc.state || n.Code != tc.code {
				t.Errorf("became %s %s, want %s %s", n.State, n.Code, tc.state, tc.code)
			}
			if n.Payload != nil {
				t.Error("keeps a payload that will never be sent")
			}
			if len(n.Errors) != 1 || n.Errors[0].Ref != n.Ref || n.Errors[0].Line != 5 || n.Errors[0].Code != tc.code ||
				!strings.Contains(n.Errors[0].Text, "a.csv line 7") {
				t.Errorf("row errors %+v do not name the first use", n.Errors)
			}
		})
	}
}

func TestCollideWithoutContentIsNeverADuplicate(t *testing.T) {
	n := issuance.NewOrder{}
	n.Collide(issuance.FirstUse{})
	if n.State != issuance.Rejected {
		t.Errorf("became %s", n.State)
	}
}
