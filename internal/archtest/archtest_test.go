package archtest_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "cardbatch"

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// rel is the package's path inside the module.
func (p *goPackage) rel() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// stages do the work of a job. They meet through rows in the store, never
// through each other's code, so that each can be stopped, repeated and tested alone.
var stages = []string{
	"internal/intake", "internal/submit", "internal/track", "internal/notification", "internal/report",
	"internal/retention", "internal/change",
}

// only lists who may import something. A package not named here may not.
var only = []struct {
	imports string // a package, or a prefix ending in /...
	by      []string
	why     string
}{
	{"net/http", []string{"internal/d1/...", "internal/notification", "internal/app", "internal/ops", "internal/rehearsal", "cmd/demo", "cmd/d1sim"},
		"D1's client and the receiver of its notifications are the only ones that speak HTTP"},
	{"github.com/pkg/sftp", []string{"internal/drop/sftp/..."}, "SFTP is a detail of one adapter of the drop"},
	{"golang.org/x/crypto/ssh/...", []string{"internal/drop/sftp/..."}, "SSH is a detail of one adapter of the drop"},
	{"database/sql", []string{"internal/store"}, "SQL stays in the store"},
	{"modernc.org/sqlite", []string{"internal/store"}, "the engine is the store's business"},
	{"github.com/pressly/goose/v3", []string{"internal/store"}, "migrations stay with the adapter that runs them"},
	{"github.com/gocarina/gocsv", []string{"internal/orderfile", "internal/report"}, "CSV is a detail of the two file codecs"},
	{"github.com/ProtonMail/go-crypto/...", []string{"internal/pgp/..."}, "OpenPGP is a detail of the envelope"},
	{module + "/internal/pgp/pgptest", []string{"cmd/demo"}, "keys for tests are for tests"},
	{"github.com/rickar/cal/...", []string{"internal/calendar"}, "whose holidays there are is one package's business"},
	{"github.com/robfig/cron/v3", []string{"internal/schedule"}, "cron parses and triggers; correctness is in the ledger"},
	{"github.com/goccy/go-yaml", []string{"internal/strictyaml", "internal/d1/d1sim/...", "cmd/d1sim"}, "there is one way to read what operators write"},
	{"github.com/prometheus/...", []string{"internal/ops"}, "others declare the one or two methods they count by"},
	{"github.com/coreos/go-systemd/v22/...", []string{"internal/ops"}, "systemd is the machine's business"},
	{"github.com/spf13/cobra", []string{"cmd/cardbatch", "cmd/d1sim", "cmd/demo"}, "the command line is a shell around app"},
	{module + "/internal/app", []string{"cmd/..."}, "wiring is used by programs only"},
	{module + "/internal/d1/d1sim/...", []string{"internal/d1/d1sim/...", "internal/rehearsal", "cmd/d1sim", "cmd/demo"}, "the simulator is never linked into cardbatch"},
	{module + "/internal/drop/sftp/sftptest", []string{"internal/rehearsal"}, "the SFTP server is for tests and the demo"},
	{module + "/internal/rehearsal", []string{"cmd/demo"}, "what surrounds a daemon is for the demo and for the proof in internal/night"},
}

// forbidden lists what a package may not import.
var forbidden = []struct {
	pkg, imports, why string
}{
	{"internal/config", module + "/internal/drop/...", "config sees no adapter: app maps its values"},
	{"internal/config", module + "/internal/store", "config sees no adapter: app maps its values"},
	{"internal/config", module + "/internal/d1/...", "config sees no adapter: app maps its values"},
	{"internal/reconcile", module + "/internal/store", "reconcile is pure: rows come in, lines go out"},
	{"internal/validate", "github.com/rs/zerolog", "validate is pure: findings are values"},
	{"internal/ageing", module + "/internal/store", "ageing is pure: suspects come in, findings go out"},
	{"internal/ageing", module + "/internal/config", "ageing is pure: app makes its rules"},
	{"internal/ageing", "github.com/rs/zerolog", "ageing is pure: findings are values"},
	{"internal/reconcile", "github.com/rs/zerolog", "reconcile is pure: findings are values"},
	{"internal/cardholder", "github.com/rs/zerolog", "card data is never near a logger"},
	{"internal/orderfile", "github.com/rs/zerolog", "card data is never near a logger"},
	{"internal/d1/d1sim/...", module + "/internal/d1", "the simulator is the other side: shared code would hide a mistake"},
	{"internal/d1/d1sim/...", module + "/internal/issuance", "the simulator is the other side: shared code would hide a mistake"},
}

func TestImportRules(t *testing.T) {
	packages := list(t)
	for _, p := range packages {
		for _, imported := range p.Imports {
			checkImport(t, p, imported)
		}
	}
}

func checkImport(t *testing.T, p *goPackage, imported string) {
	t.Helper()
	for _, rule := range only {
		if matches(rule.imports, imported) && !slices.ContainsFunc(rule.by, func(by string) bool { return matches(by, p.rel()) }) {
			t.Errorf("%s imports %s: %s", p.rel(), imported, rule.why)
		}
	}
	for _, rule := range forbidden {
		if matches(rule.pkg, p.rel()) && matches(rule.imports, imported) {
			t.Errorf("%s imports %s: %s", p.rel(), imported, rule.why)
		}
	}
	ofStd := !strings.Contains(imported, ".") && !strings.HasPrefix(imported, module+"/")
	if p.rel() == "internal/issuance" && !ofStd {
		t.Errorf("internal/issuance imports %s: the domain imports the standard library only", imported)
	}
	if slices.Contains(stages, p.rel()) && slices.Contains(stages, strings.TrimPrefix(imported, module+"/")) {
		t.Errorf("%s imports %s: a stage never imports a stage", p.rel(), imported)
	}
	if imported == "log" || imported == "github.com/rs/zerolog/log" {
		t.Errorf("%s imports %s: loggers are passed in", p.rel(), imported)
	}
}

// A rule about a package that is gone guards nothing.
func TestRulesNamePackagesThatExist(t *testing.T) {
	var known []string
	for _, p := range list(t) {
		known = append(known, p.rel())
	}
	exists := func(pattern string) bool {
		return slices.ContainsFunc(known, func(rel string) bool { return matches(pattern, rel) })
	}
	named := slices.Clone(stages)
	for _, rule := range only {
		named = append(named, rule.by...)
	}
	for _, rule := range forbidden {
		named = append(named, rule.pkg)
	}
	for _, name := range named {
		if !exists(name) {
			t.Errorf("a rule names %s, which does not exist", name)
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	for _, p := range list(t) {
		var with []string
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				with = append(with, file)
			}
		}
		if len(p.GoFiles) > 0 && len(with) != 1 {
			t.Errorf("%s has its package comment in %d files %v: one package, one small manual", p.rel(), len(with), with)
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, p := range list(t) {
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s/%s has an init function: what a program does is written where it starts", p.rel(), file)
				}
			}
		}
	}
}

func TestMainIsShort(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root(t), "cmd", "cardbatch", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n >= 60 {
		t.Errorf("cmd/cardbatch/main.go has %d lines: it should only start what can be tested", n)
	}
}

// The top level is agreed with the customer.
func TestTopLevel(t *testing.T) {
	agreed := []string{"README.md", "cmd", "go.mod", "go.sum", "internal", "jobs", "samples", "schemas", "systemd"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(e.Name(), "LICEN") && !slices.Contains(agreed, e.Name()) && !ignored(t, e.Name()) {
			t.Errorf("%s is not part of the agreed top level", e.Name())
		}
	}
}

// ignored reports whether git ignores a file, such as a built binary.
func ignored(t *testing.T, name string) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "check-ignore", "-q", name)
	cmd.Dir = root(t)
	return cmd.Run() == nil
}

func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == prefix || strings.HasPrefix(name, prefix+"/")
	}
	return name == pattern
}

func root(t *testing.T) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return path.Dir(path.Dir(filepath.ToSlash(wd)))
}

func list(t *testing.T) []*goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []*goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, &p)
	}
}
