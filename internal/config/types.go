package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"cardbatch/internal/secret"
)

// File is the path of a file with a secret, key or certificate, or
// credential:NAME for the systemd credential of that name. Whether it exists
// is not checked when the configuration is loaded.
type File string

// Dir is the path of a directory.
type Dir string

const credentialPrefix = "credential:" //nolint:gosec // it says where one is

// Path returns where the file is. It fails for a credential when the process
// was started without credentials.
func (f File) Path() (string, error) {
	name, ok := strings.CutPrefix(string(f), credentialPrefix)
	if !ok {
		return string(f), nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", fmt.Errorf("find credential %s: $CREDENTIALS_DIRECTORY is not set; is it loaded in the systemd unit?", name)
	}
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("find credential %s: not a plain name", name)
	}
	return filepath.Join(dir, name), nil
}

// Read returns the content of the file.
func (f File) Read() ([]byte, error) {
	path, err := f.Path()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path) //nolint:gosec // the operator names the file in the configuration
}

// Secret reads the file as one secret, without a final line end. No file is
// an empty secret.
func (f File) Secret() (secret.Value, error) {
	if f == "" {
		return secret.Value{}, nil
	}
	path, err := f.Path()
	if err != nil {
		return secret.Value{}, err
	}
	return secret.FromFile(path)
}

// CheckFiles reports every file named by the configuration that cannot be read.
func (c *Config) CheckFiles() error {
	var errs []error
	walkFiles(reflect.ValueOf(c).Elem(), "", func(key string, f *File) {
		if *f == "" {
			return
		}
		path, err := f.Path()
		if err == nil {
			var file *os.File
			if file, err = os.Open(path); err == nil { //nolint:gosec // named by the operator
				err = file.Close()
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	})
	return errors.Join(errs...)
}

// resolve makes paths absolute.
func (c *Config) resolve(dir string) {
	walkFiles(reflect.ValueOf(c).Elem(), "", func(_ string, f *File) {
		if *f != "" && !strings.HasPrefix(string(*f), credentialPrefix) && !filepath.IsAbs(string(*f)) {
			*f = File(filepath.Join(dir, string(*f)))
		}
	})
	dirs := []*Dir{&c.StateDir, &c.JobsDir}
	for i := range c.Drops {
		if c.Drops[i].Type == LocalDir {
			dirs = append(dirs, (*Dir)(&c.Drops[i].Root))
		}
	}
	for _, d := range dirs {
		if *d != "" && !filepath.IsAbs(string(*d)) {
			*d = Dir(filepath.Join(dir, string(*d)))
		}
	}
}

// walkFiles visits every File of the configuration, in the order of its fields.
func walkFiles(v reflect.Value, key string, visit func(string, *File)) {
	switch v.Kind() { //nolint:exhaustive // a configuration has no other kinds with files inside
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			if name == "" {
				continue
			}
			if key != "" {
				name = key + "." + name
			}
			walkFiles(v.Field(i), name, visit)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			walkFiles(v.Elem(), key, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walkFiles(v.Index(i), fmt.Sprintf("%s[%d]", key, i), visit)
		}
	case reflect.String:
		if f, ok := v.Addr().Interface().(*File); ok {
			visit(key, f)
		}
	}
}

// Size is a number of bytes: a plain number, or one with KiB, MiB or GiB.
type Size int64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Size) UnmarshalText(b []byte) error {
	text, unit := string(b), int64(1)
	for suffix, n := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = strings.TrimSpace(rest), n
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size; write bytes or a number with KiB, MiB or GiB, such as 5MiB", b)
	}
	*s = Size(n * unit)
	return nil
}

// Percent is a share, written as 5% or 0.5%.
type Percent float64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Percent) UnmarshalText(b []byte) error {
	text, ok := strings.CutSuffix(string(b), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if !ok || err != nil || !(f >= 0 && f <= 100) {
		return fmt.Errorf("%q is not a share; write 0%% to 100%%", b)
	}
	*p = Percent(f)
	return nil
}

// Of returns the share of n, rounded down.
func (p Percent) Of(n int64) int64 { return int64(float64(n) * float64(p) / 100) }
