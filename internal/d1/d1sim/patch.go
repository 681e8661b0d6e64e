package d1sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Settings travel over the admin endpoint as JSON under the names of their
// yaml tags, with durations as Go writes them ("1.5s"), so that they read the
// same there and in a configuration file. A patch changes what it names.

// merge lays a JSON object over the settings: what it does not name stays.
// Unknown names are errors.
func (s Settings) merge(doc []byte) (Settings, error) {
	var d document
	if err := d.parse(doc); err != nil {
		return s, fmt.Errorf("d1sim: read settings: %w", err)
	}
	s.Production.Outcomes = maps.Clone(s.Production.Outcomes) // shared with the settings in force
	if err := patch(reflect.ValueOf(&s).Elem(), &d, 0, "settings"); err != nil {
		return s, fmt.Errorf("d1sim: read settings: %w", err)
	}
	return s.checked()
}

// patch sets what one JSON value says; name is for errors.
func patch(v reflect.Value, d *document, at int, name string) error {
	n := &d.nodes[at]
	raw := d.src[n.start:n.end]
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]() && n.kind == kindString:
		dur, err := time.ParseDuration(d.string(at))
		v.SetInt(int64(dur))
		return err
	case v.Kind() == reflect.Struct && n.kind == kindObject:
		return patchStruct(v, d, at, name)
	case v.Kind() == reflect.Map && n.kind == kindObject:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		d.members(at, func(key string, i int) bool {
			v.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(d.string(i)))
			return true
		})
		return nil
	case v.Kind() == reflect.Slice && n.kind == kindArray:
		return patchSlice(v, d, at, name)
	case v.Kind() == reflect.String && n.kind == kindString:
		v.SetString(d.string(at))
		return nil
	case v.Kind() == reflect.Bool && n.kind == kindBool,
		(v.CanInt() || v.CanFloat()) && v.Type() != reflect.TypeFor[time.Duration]() && n.kind == kindNumber:
		return json.Unmarshal(raw, v.Addr().Interface())
	}
	return fmt.Errorf("%s cannot be a %s", name, n.kind)
}

func patchStruct(v reflect.Value, d *document, at int, name string) error {
	var errs []error
	d.members(at, func(key string, i int) bool {
		f, ok := fieldByTag(v, key)
		if !ok {
			errs = append(errs, fmt.Errorf("unknown name %q in %s", key, name))
			return true
		}
		errs = append(errs, patch(f, d, i, key))
		return true
	})
	return errors.Join(errs...)
}

// patchSlice replaces a list as a whole: the old one is in force elsewhere.
func patchSlice(v reflect.Value, d *document, at int, name string) error {
	var errs []error
	list := reflect.Zero(v.Type()) // an empty list is none
	d.items(at, func(i int) bool {
		e := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, patch(e, d, i, name))
		list = reflect.Append(list, e)
		return true
	})
	v.Set(list)
	return errors.Join(errs...)
}

func fieldByTag(v reflect.Value, tag string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == tag {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// json writes the settings as merge reads them.
func (s Settings) json() []byte { return appendValue(nil, reflect.ValueOf(s)) }

func appendValue(b []byte, v reflect.Value) []byte {
	if d, ok := v.Interface().(time.Duration); ok {
		return appendString(b, d.String())
	}
	switch v.Kind() {
	case reflect.Struct:
		b = append(b, '{')
		for i := range v.NumField() {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, v.Type().Field(i).Tag.Get("yaml")), ':')
			b = appendValue(b, v.Field(i))
		}
		return append(b, '}')
	case reflect.Slice:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, v.Index(i))
		}
		return append(b, ']')
	case reflect.Map:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			b = appendString(b, v.MapIndex(reflect.ValueOf(k)).String())
		}
		return append(b, '}')
	default:
		leaf, err := json.Marshal(v.Interface())
		if err != nil {
			return append(b, "null"...) // cannot happen: shares are checked numbers
		}
		return append(b, leaf...)
	}
}
