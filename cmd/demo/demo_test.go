package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary be the daemon's process, as the demo is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == daemonCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

// One whole night, and then everything it leaves behind is read: what the back
// office gets must account for every row, and nothing may show card or personal
// data in clear.
func TestANight(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "night")
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--orders", "400", "--seed", "3", "--json", "--out", dir}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, stderr.String(), stdout.String())
	}
	var s summary
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if !s.Balanced || s.ProducedTwice != 0 || s.ProducedAtD1 != s.Submitted || s.Rows != 400 || s.Restarts != 1 {
		t.Errorf("summary %+v", s)
	}
	if s.Interrupted == 0 {
		t.Error("the daemon was killed when nothing was in flight: the restart proves nothing")
	}
	if s.Rejected == 0 || s.Duplicate == 0 || s.FilesRefused != 3 || s.Shipped == 0 {
		t.Errorf("something of the night did not happen: %+v", s)
	}
	checkChanges(t, &s)
	checkNews(t, &s)
	t.Run("reports", func(t *testing.T) { checkReports(t, dir) })
	t.Run("nothing in clear", func(t *testing.T) { checkNothingInClear(t, dir, stdout.Bytes(), stderr.Bytes()) })
	t.Run("not twice into one directory", func(t *testing.T) {
		if code := run(t.Context(), []string{"--out", dir}, &stdout, &stderr); code != 1 {
			t.Errorf("exit code %d", code)
		}
	})
}

// checkChanges wants changes that were made and some that were not. Who makes
// them, we or the center, depends on how fast the machine is.
func checkChanges(t *testing.T, s *summary) {
	t.Helper()
	c := s.Changes
	if c.Files != 2 || c.Rejected != 2 || c.Duplicate != 1 || c.Unmatched != 1 ||
		c.Applied+c.Done+c.TooLate+c.Unmatched != c.Rows-c.Rejected-c.Duplicate || c.LikeD1 != c.Rows-c.Rejected-c.Duplicate {
		t.Errorf("changes %+v", c)
	}
	if c.Applied+c.Done == 0 || c.TooLate == 0 || s.Redirected == 0 || s.CancelledByBank != s.Cancelled+s.Canceled || s.CancelledByBank == 0 {
		t.Errorf("some answer to a change did not come: %+v, %+v", c, s)
	}
}

// checkNews wants much of D1's news lost, and all of it known.
func checkNews(t *testing.T, s *summary) {
	t.Helper()
	if s.LikeD1 != s.Submitted || s.Produced == 0 || s.Exceptions < s.Failed || s.Exceptions == 0 {
		t.Errorf("%d of %d orders agree with D1, %d end as produced, %d are exceptions", s.LikeD1, s.Submitted, s.Produced, s.Exceptions)
	}
	least := s.Notifications / 10 // of three tenths
	if s.Lost < 2*least || s.Repeated < least || s.Reordered < least || s.FoundByAsking == 0 {
		t.Errorf("little went wrong with the notifications: %+v", s)
	}
}

// checkReports compares each accepted order file with its reconciliation.
func checkReports(t *testing.T, dir string) {
	t.Helper()
	checkReportsIn(t, filepath.Join(dir, "sftp"), 3)
	checkReportsIn(t, filepath.Join(dir, "sftp", "changes"), 2)
}

// checkReportsIn looks at a directory with drop, archive and reports.
func checkReportsIn(t *testing.T, dir string, files int) {
	t.Helper()
	originals, err := filepath.Glob(filepath.Join(dir, "archive", "*.csv"))
	if err != nil || len(originals) != files {
		t.Fatalf("%d archived files, error %v", len(originals), err)
	}
	reports := filepath.Join(dir, "reports")
	for _, original := range originals {
		stem := strings.TrimSuffix(filepath.Base(original), ".csv")
		for _, suffix := range []string{".receipt.csv", ".receipt.csv.ctl", ".reconciliation.csv", ".reconciliation.csv.ctl"} {
			if _, err := os.Stat(filepath.Join(reports, stem+suffix)); err != nil {
				t.Error(err)
			}
		}
		editions, err := filepath.Glob(filepath.Join(reports, stem+".reconciliation*.csv"))
		if err != nil {
			t.Fatal(err)
		}
		want := column(t, original, "order_id")
		for _, edition := range editions {
			got := column(t, edition, "order_id")
			if len(got) != len(want) {
				t.Errorf("%s has %d lines, the order file %d rows", filepath.Base(edition), len(got), len(want))
				continue
			}
			dispositions := column(t, edition, "disposition")
			for i := range want {
				if got[i] != want[i] && dispositions[i] != "rejected" {
					t.Errorf("%s: line %d is about another order than the order file's row", filepath.Base(edition), i+2)
				}
			}
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "drop"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d files left in the drop, error %v", len(left), err)
	}
}

// clearColumns are those whose values must not be found anywhere afterwards.
var clearColumns = []string{
	"pan", "cardholder_name", "second_name", "encoded_name",
	"delivery_last_name", "delivery_line1", "delivery_line2", "delivery_phone",
	"individual_last_name", "individual_line1", "individual_phone",
}

func checkNothingInClear(t *testing.T, dir string, output ...[]byte) {
	t.Helper()
	secrets := map[string]string{} // clear value to its column
	for _, where := range []string{"archive", "quarantine", "changes/archive", "changes/quarantine"} {
		originals, err := filepath.Glob(filepath.Join(dir, "sftp", filepath.FromSlash(where), "*.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, original := range originals {
			if strings.HasSuffix(original, ".receipt.csv") {
				continue
			}
			for _, name := range clearColumns {
				if strings.HasPrefix(where, "changes/") && !strings.HasPrefix(name, "delivery_") {
					continue // they have addresses only
				}
				for _, value := range column(t, original, name) {
					if len(value) > 4 {
						secrets[value] = name
					}
				}
			}
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(secrets)), func(value string) bool { return strings.Contains(value, "Chemin du Nouveau") }) {
		t.Error("the new addresses are not looked for")
	}
	if len(secrets) < 1000 {
		t.Fatalf("only %d values to look for", len(secrets))
	}
	texts := map[string][]byte{}
	for i, b := range output {
		texts[fmt.Sprintf("output %d", i)] = b
	}
	for _, where := range []string{"state", "sftp/reports", "sftp/quarantine", "sftp/changes/reports", "sftp/changes/quarantine"} {
		readAll(t, filepath.Join(dir, filepath.FromSlash(where)), texts)
	}
	for _, name := range []string{"daemon.log", "metrics.txt"} {
		if len(texts[filepath.Join(dir, "state", name)]) == 0 {
			t.Errorf("there is no %s to look into", name)
		}
	}
	for name, text := range texts {
		for value, col := range secrets {
			if bytes.Contains(text, []byte(value)) {
				t.Errorf("%s shows a %s", name, col) // never the value
			}
		}
	}
}

// readAll reads every file we wrote; the originals are not ours.
func readAll(t *testing.T, dir string, into map[string][]byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		original := strings.Contains(path, "quarantine") && !strings.Contains(path, ".receipt.csv")
		if err != nil || d.IsDir() || original {
			return err
		}
		into[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func column(t *testing.T, path, name string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	in := csv.NewReader(f)
	in.FieldsPerRecord = -1 // one of them is cut
	in.LazyQuotes = true
	header, err := in.Read()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(header, name)
	if at < 0 {
		t.Fatalf("%s has no column %s", filepath.Base(path), name)
	}
	rows, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, row := range rows {
		if at < len(row) {
			values = append(values, row[at])
		}
	}
	return values
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"--help"}, 0},
		{[]string{"--orders", "0"}, 2},
		{[]string{"--orders", "x"}, 2},
		{[]string{"--unknown"}, 2},
		{[]string{"extra"}, 2},
	} {
		var out bytes.Buffer
		if code := run(context.Background(), tt.args, &out, &out); code != tt.code || out.Len() == 0 {
			t.Errorf("%v: exit code %d, want %d; said %q", tt.args, code, tt.code, out.String())
		}
	}
}

func TestAnUnbalancedNightIsSaid(t *testing.T) {
	s := summary{Rows: 10, Submitted: 10, ProducedAtD1: 11, ReportedRows: 9, LikeD1: 8, Changes: changes{Rows: 3, Rejected: 1, LikeD1: 1}, Seconds: map[string]float64{}}
	s.conclude()
	if s.Balanced || s.exitCode() != 5 || len(s.Differences) != 4 {
		t.Errorf("balanced %v, exit code %d, differences %v", s.Balanced, s.exitCode(), s.Differences)
	}
	s.ProducedTwice = 1
	if s.exitCode() != 1 {
		t.Errorf("a card made twice ends with %d", s.exitCode())
	}
	var out bytes.Buffer
	if err := s.writeTable(&out); err != nil || !strings.Contains(out.String(), "IT DOES NOT BALANCE") {
		t.Errorf("the table does not say it, error %v", err)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 80 {
			t.Errorf("a line of the table has %d characters: %s", len(line), line)
		}
	}
}
