package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cardbatch/internal/issuance"
)

// reports is what the back office finds in its directory, read as the back
// office reads it: a file counts when its control file is there.
type reports struct {
	files           int
	reconciliations map[string]reconciliation // last edition, by order file
	receipts        []string                  // order files that have one
	statuses        int                       // status files
}

// reconciliation is the last edition of one reconciliation file.
type reconciliation struct {
	revision int
	balanced bool
	rows     int64
	by       map[string]int64 // rows by disposition
}

// control is what the demo reads of a report's control file.
type control struct {
	File       string `json:"file"`
	Kind       string `json:"kind"`
	SourceFile string `json:"source_file"`
	Revision   int    `json:"revision"`
	Rows       int64  `json:"rows"`
	Balanced   bool   `json:"balanced"`
}

func readReports(dir string) (reports, error) {
	r := reports{reconciliations: map[string]reconciliation{}}
	controls, err := filepath.Glob(filepath.Join(dir, "*.ctl"))
	if err != nil {
		return r, err
	}
	for _, path := range controls {
		if err := r.add(path); err != nil {
			return r, fmt.Errorf("read report %s: %w", filepath.Base(path), err)
		}
	}
	return r, nil
}

func (r *reports) add(path string) error {
	b, err := os.ReadFile(path) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	var c control
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	r.files++
	switch c.Kind {
	case string(issuance.DeliverReceipt):
		r.receipts = append(r.receipts, c.SourceFile)
	case string(issuance.DeliverStatus):
		r.statuses++
	case string(issuance.DeliverReconciliation):
		return r.addReconciliation(strings.TrimSuffix(path, ".ctl"), c)
	}
	return nil
}

func (r *reports) addReconciliation(path string, c control) error {
	if last, ok := r.reconciliations[c.SourceFile]; ok && last.revision >= c.Revision {
		return nil
	}
	e := reconciliation{revision: c.Revision, balanced: c.Balanced, by: map[string]int64{}}
	err := eachRow(path, func(row map[string]string) {
		e.rows++
		e.by[row["disposition"]]++
	})
	if err != nil {
		return err
	}
	r.reconciliations[c.SourceFile] = e
	return nil
}

func eachRow(path string, do func(map[string]string)) error {
	f, err := os.Open(path) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	in := csv.NewReader(f)
	header, err := in.Read()
	if err != nil {
		return err
	}
	for {
		record, err := in.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		row := make(map[string]string, len(header))
		for i, name := range header {
			row[name] = record[i]
		}
		do(row)
	}
}

func (r *reports) rows() int64 {
	var n int64
	for _, e := range r.reconciliations {
		n += e.rows
	}
	return n
}

// complete reports whether every file has its receipt, every accepted file the
// final edition of its reconciliation, and the morning its status file.
func (r *reports) complete(batches []issuance.Batch, t *issuance.Totals) bool {
	if r.statuses == 0 {
		return false
	}
	for _, b := range batches {
		if !slices.Contains(r.receipts, b.FileName) {
			return false
		}
		if _, ok := r.reconciliations[b.FileName]; !ok && b.State != issuance.BatchRefused {
			return false
		}
	}
	s := summary{}
	r.compare(t, &s)
	return len(s.Differences) == 0
}

// compare holds the dispositions in the reconciliation files against our totals.
func (r *reports) compare(t *issuance.Totals, s *summary) {
	for file, e := range r.reconciliations {
		if !e.balanced {
			s.differ("the reconciliation of %s says that it does not balance", file)
		}
	}
	for _, term := range t.Terms() {
		if term.Name == "rows" || term.Name == string(issuance.Submitted) {
			continue
		}
		var n int64
		for _, e := range r.reconciliations {
			n += e.by[term.Name]
		}
		if n != term.Count {
			s.differ("the reconciliation files have %d rows %s, we have %d", n, term.Name, term.Count)
		}
	}
}
