package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
)

// The README is what people program against: what it says of commands, exit
// codes, the control equation and files must be so.
func TestReadmeAgreesWithTheCode(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(b)
	t.Run("exit codes", func(t *testing.T) {
		for _, code := range exitcode.Codes() {
			if !strings.Contains(readme, fmt.Sprintf("\n| %d | ", code)) {
				t.Errorf("exit code %d is not explained", code)
			}
		}
	})
	t.Run("commands", func(t *testing.T) {
		started := false
		for _, c := range newRoot(&started).Commands() {
			if name := c.Name(); name != "help" && name != "completion" && !regexp.MustCompile(`(cardbatch |\|)`+name+`\b`).MatchString(readme) &&
				!strings.Contains(readme, "| "+name) {
				t.Errorf("command %s is not mentioned", name)
			}
		}
	})
	t.Run("control equation", func(t *testing.T) {
		var totals issuance.Totals
		for _, term := range totals.Terms() {
			if !regexp.MustCompile(`(?m)[=+] .*\b` + term.Name + `\b|^` + term.Name + ` +=`).MatchString(readme) {
				t.Errorf("term %s is missing", term.Name)
			}
		}
	})
	t.Run("control equation of changes", func(t *testing.T) {
		for _, state := range issuance.ChangeStates() {
			if !regexp.MustCompile(`(?m)[=+] .*\b` + string(state) + `\b`).MatchString(readme) {
				t.Errorf("term %s is missing", state)
			}
		}
	})
	t.Run("links", func(t *testing.T) {
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(readme, -1) {
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("a link goes nowhere: %v", err)
			}
		}
	})
	t.Run("places", func(t *testing.T) {
		for _, dir := range regexp.MustCompile(`\b(cmd|internal)/[a-z0-9/]+`).FindAllString(readme, -1) {
			if _, err := os.Stat(filepath.Join("../..", strings.TrimSuffix(dir, "/"))); err != nil {
				t.Errorf("a package is named that is not there: %v", err)
			}
		}
	})
}
