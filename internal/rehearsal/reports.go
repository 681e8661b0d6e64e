package rehearsal

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Report is a report as the back office finds it: it counts when its control
// file is there. The fields are those of the control file.
type Report struct {
	Path string `json:"-"` // of the report itself

	File       string `json:"file"`
	Kind       string `json:"kind"`
	SourceFile string `json:"source_file"`
	Revision   int    `json:"revision"`
	Date       string `json:"business_date"`
	Rows       int64  `json:"rows"`
	Size       int64  `json:"size"`
	SHA256     string `json:"sha256"`
	Verdict    string `json:"verdict"`
	Code       string `json:"code"`
	Balanced   bool   `json:"balanced"`
}

// ReadReports reads the control files of a directory, in the order of their names.
func ReadReports(dir string) ([]Report, error) {
	controls, err := filepath.Glob(filepath.Join(dir, "*.ctl"))
	if err != nil {
		return nil, err
	}
	reports := make([]Report, len(controls))
	for i, path := range controls {
		b, err := os.ReadFile(path) //nolint:gosec // our own directory
		if err == nil {
			err = json.Unmarshal(b, &reports[i])
		}
		if err != nil {
			return nil, fmt.Errorf("read report %s: %w", filepath.Base(path), err)
		}
		reports[i].Path = strings.TrimSuffix(path, ".ctl")
	}
	return reports, nil
}

// EachRow calls do with the rows of a CSV file, by column.
func EachRow(path string, do func(row map[string]string)) error {
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
