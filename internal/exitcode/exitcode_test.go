package exitcode_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cardbatch/internal/exitcode"
	"cardbatch/internal/strictyaml"
)

func TestOf(t *testing.T) {
	down := exitcode.Mark(errors.New("D1 is down"), exitcode.Unavailable, "look at the network")
	for _, tc := range []struct {
		err  error
		want exitcode.Code
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{down, 6},
		{fmt.Errorf("run submit: %w", down), 6},
		{errors.Join(errors.New("x"), down), 6},
		{fmt.Errorf("load: %w", strictyaml.Problems{{Text: "bad"}}), 4},
		{fmt.Errorf("stopped: %w", context.Canceled), 130},
		{exitcode.Mark(context.Canceled, exitcode.Failed, ""), 1},
		{exitcode.Mark(nil, exitcode.Failed, ""), 0},
	} {
		if got := exitcode.Of(tc.err); got != tc.want {
			t.Errorf("%v gives %d, want %d", tc.err, got, tc.want)
		}
	}
	if got := exitcode.Hint(fmt.Errorf("run submit: %w", down)); got != "look at the network" {
		t.Errorf("hint %q", got)
	}
	if got := exitcode.Hint(errors.New("x")); got != "" {
		t.Errorf("hint %q", got)
	}
}

// The numbers are a promise; this test is where it is written down a second time.
func TestTheNumbersNeverChange(t *testing.T) {
	want := "0 1 2 3 4 5 6 7 130"
	var got []string
	for _, c := range exitcode.Codes() {
		got = append(got, strconv.Itoa(int(c)))
	}
	if s := strings.Join(got, " "); !strings.HasPrefix(s, want) {
		t.Errorf("got %s, want %s, then perhaps more", s, want)
	}
}

// The service unit decides by exit codes: they must be ours.
func TestUnitsNameExistingCodes(t *testing.T) {
	unit, err := os.ReadFile("../../systemd/cardbatch.service")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^(?:SuccessExitStatus|RestartPreventExitStatus)=(.*)$`).FindAllSubmatch(unit, -1)
	if len(lines) == 0 {
		t.Fatal("the unit names no exit code")
	}
	known := map[string]bool{}
	for _, c := range exitcode.Codes() {
		known[strconv.Itoa(int(c))] = true
	}
	for _, line := range lines {
		for _, code := range strings.Fields(string(line[1])) {
			if !known[code] {
				t.Errorf("the unit names exit code %s, which does not exist", code)
			}
		}
	}
}
