package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// LoadJobs reads the built-in job files and those of dir, which replace
// built-in ones of the same file name; an empty dir means none. It returns the
// jobs by name, or everything that is wrong with any of them.
func LoadJobs(builtin fs.FS, dir string) ([]Job, error) {
	files := map[string]jobFile{}
	if err := collect(files, builtin, ""); err != nil {
		return nil, fmt.Errorf("read built-in jobs: %w", err)
	}
	if dir != "" {
		if err := collect(files, os.DirFS(dir), dir); err != nil {
			return nil, fmt.Errorf("read jobs: %w", err)
		}
	}
	var jobs []Job
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		j, err := ParseJob(files[name].path, files[name].data)
		switch {
		case err != nil:
			errs = append(errs, err)
		case j.Name+".yaml" != name:
			errs = append(errs, fmt.Errorf("%s: name: %q must be the file's name without .yaml", j.file, j.Name))
		default:
			jobs = append(jobs, j)
		}
	}
	slices.SortFunc(jobs, func(a, b Job) int { return cmp.Compare(a.Name, b.Name) })
	if len(errs) == 0 {
		errs = append(errs, checkAfter(jobs))
	}
	return jobs, errors.Join(errs...)
}

type jobFile struct {
	path string
	data []byte
}

func collect(files map[string]jobFile, fsys fs.FS, dir string) error {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return err
	}
	if _, err := fs.Stat(fsys, "."); err != nil {
		return err
	}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		shown := path.Join("jobs", name)
		if dir != "" {
			shown = filepath.Join(dir, name)
		}
		files[name] = jobFile{shown, data}
	}
	return nil
}

// checkAfter refuses jobs that wait for one that does not exist, and circles,
// which would wake each other for ever.
func checkAfter(jobs []Job) error {
	byName := map[string]Job{}
	for _, j := range jobs {
		byName[j.Name] = j
	}
	var errs []error
	for _, j := range jobs {
		for _, before := range j.After {
			if _, ok := byName[before]; !ok {
				errs = append(errs, fmt.Errorf("%s: after: %q is not a job", j.file, before))
			}
		}
		if circle := findCircle(byName, []string{j.Name}); circle != nil && circle[0] == slices.Min(circle) {
			errs = append(errs, fmt.Errorf("%s: after: goes in a circle: %s", j.file, strings.Join(circle, " after ")))
		}
	}
	return errors.Join(errs...)
}

func findCircle(jobs map[string]Job, way []string) []string {
	for _, before := range jobs[way[len(way)-1]].After {
		if before == way[0] {
			return append(way, before)
		}
		if slices.Contains(way, before) {
			continue // a circle that is another job's
		}
		if circle := findCircle(jobs, append(slices.Clone(way), before)); circle != nil {
			return circle
		}
	}
	return nil
}
