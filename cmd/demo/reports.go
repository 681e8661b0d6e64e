package main

import (
	"cmp"
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
	changes         map[string]reconciliation // the same of the files of changes
	receipts        []string                  // files that have one
	statuses        int                       // status files
	exceptions      rehearsal.Report          // the last of those files
}

// reconciliation is the last edition of one reconciliation file.
type reconciliation struct {
	revision int
	balanced bool
	rows     int64
	by       map[string]int64 // rows by disposition
}

func readReports(dirs ...string) (reports, error) {
	r := reports{reconciliations: map[string]reconciliation{}, changes: map[string]reconciliation{}}
	for _, dir := range dirs {
		found, err := rehearsal.ReadReports(dir)
		if err != nil {
			return r, err
		}
		r.files += len(found)
		for _, f := range found {
			if err := r.add(f); err != nil {
				return r, fmt.Errorf("read report %s: %w", f.File, err)
			}
		}
	}
	return r, nil
}

func (r *reports) add(f rehearsal.Report) error {
	switch f.Kind {
	case string(issuance.DeliverReceipt):
		r.receipts = append(r.receipts, f.SourceFile)
	case string(issuance.DeliverStatus):
		r.statuses++
	case string(issuance.DeliverExceptions):
		if cmp.Or(cmp.Compare(f.Date, r.exceptions.Date), cmp.Compare(f.Revision, r.exceptions.Revision)) > 0 {
			r.exceptions = f
		}
	case string(issuance.DeliverReconciliation):
		return addEdition(r.reconciliations, f)
	case "change-" + string(issuance.DeliverReconciliation):
		return addEdition(r.changes, f)
	}
	return nil
}

// addEdition takes the newer edition of a reconciliation.
func addEdition(editions map[string]reconciliation, f rehearsal.Report) error {
	if last, ok := editions[f.SourceFile]; ok && last.revision >= f.Revision {
		return nil
	}
	e := reconciliation{revision: f.Revision, balanced: f.Balanced, by: map[string]int64{}}
	err := rehearsal.EachRow(f.Path, func(row map[string]string) {
		e.rows++
		e.by[row["disposition"]]++
	})
	editions[f.SourceFile] = e
	return err
}

func (r *reports) rows() int64 {
	var n int64
	for _, e := range r.reconciliations {
		n += e.rows
	}
	return n
}

// compareExceptions wants the last exceptions file to list what ended badly,
// order by order, and nothing else.
func (r *reports) compareExceptions(badly map[string]bool, s *summary) error {
	if r.exceptions.Path == "" {
		s.differ("there is no exceptions file")
		return nil
	}
	s.Exceptions = r.exceptions.Rows
	listed := map[string]bool{}
	err := rehearsal.EachRow(r.exceptions.Path, func(row map[string]string) {
		if id := row["order_id"]; !badly[id] || listed[id] {
			s.differ("the exceptions file lists order %q as %s", id, row["kind"])
		} else {
			listed[id] = true
		}
	})
	if !r.exceptions.Balanced || len(listed) < len(badly) {
		s.differ("the exceptions file lists %d orders, balanced: %t; %d ended badly", len(listed), r.exceptions.Balanced, len(badly))
	}
	return err
}

// complete reports whether every file has its receipt, every accepted file the
// final edition of its reconciliation, and the morning its status file.
func (r *reports) complete(batches []issuance.Batch, t *issuance.Totals, c *issuance.ChangeTotals) bool {
	if r.statuses == 0 {
		return false
	}
	for _, b := range batches {
		if !slices.Contains(r.receipts, b.FileName) {
			return false
		}
		editions := r.reconciliations
		if b.Kind == issuance.BatchChanges {
			editions = r.changes
		}
		if _, ok := editions[b.FileName]; !ok && b.State != issuance.BatchRefused {
			return false
		}
	}
	s := summary{}
	r.compare(t, c, &s)
	return len(s.Differences) == 0
}

// compare holds the dispositions in the reconciliation files against our totals.
func (r *reports) compare(t *issuance.Totals, c *issuance.ChangeTotals, s *summary) {
	compareTerms("reconciliation", r.reconciliations, t.Terms(), s)
	compareTerms("change reconciliation", r.changes, c.Terms(), s)
}

func compareTerms(kind string, editions map[string]reconciliation, terms []issuance.Term, s *summary) {
	sums := map[string]int64{}
	for file, e := range editions {
		if !e.balanced {
			s.differ("the %s of %s says that it does not balance", kind, file)
		}
		sums["rows"] += e.rows
		for disposition, n := range e.by {
			sums[disposition] += n
		}
	}
	for _, term := range terms {
		if kind == "reconciliation" && term.Name == string(issuance.Submitted) {
			continue // the files say what became of it
		}
		if n := sums[term.Name]; n != term.Count {
			s.differ("the %s files have %d rows %s, we have %d", kind, n, term.Name, term.Count)
		}
	}
}
