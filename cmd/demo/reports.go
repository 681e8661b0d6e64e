package main

import (
	"fmt"
	"slices"

	"cardbatch/internal/issuance"
	"cardbatch/internal/rehearsal"
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

func readReports(dir string) (reports, error) {
	r := reports{reconciliations: map[string]reconciliation{}}
	found, err := rehearsal.ReadReports(dir)
	if err != nil {
		return r, err
	}
	r.files = len(found)
	for _, f := range found {
		switch f.Kind {
		case string(issuance.DeliverReceipt):
			r.receipts = append(r.receipts, f.SourceFile)
		case string(issuance.DeliverStatus):
			r.statuses++
		case string(issuance.DeliverReconciliation):
			if err := r.addReconciliation(f); err != nil {
				return r, fmt.Errorf("read report %s: %w", f.File, err)
			}
		}
	}
	return r, nil
}

func (r *reports) addReconciliation(f rehearsal.Report) error {
	if last, ok := r.reconciliations[f.SourceFile]; ok && last.revision >= f.Revision {
		return nil
	}
	e := reconciliation{revision: f.Revision, balanced: f.Balanced, by: map[string]int64{}}
	err := rehearsal.EachRow(f.Path, func(row map[string]string) {
		e.rows++
		e.by[row["disposition"]]++
	})
	if err != nil {
		return err
	}
	r.reconciliations[f.SourceFile] = e
	return nil
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
