package config

import (
	"strings"

	"cardbatch/internal/orderfile"
	"cardbatch/internal/unwrap"
)

// What a format says about columns that a file has not, or has besides ours.
const (
	ColumnsRefuse = "refuse"
	ColumnsAllow  = "allow"  // of absent ones: they are empty
	ColumnsIgnore = "ignore" // of extra ones: they are not looked at
)

// Format is how a source's order files are written.
type Format struct {
	// Compression is none, gzip or zip, with exactly one file inside. Default: none.
	Compression string `yaml:"compression"`
	// MaxRatio refuses files that unpack to more than so many times their size.
	// MaxSize of the source bounds the dropped and the unpacked bytes. Default: 200.
	MaxRatio int64 `yaml:"max_ratio"`
	// Charset is utf-8, with or without byte order mark; utf-16, with one;
	// iso-8859-1, iso-8859-15 or windows-1252. Default: utf-8.
	Charset string `yaml:"charset"`
	// Delimiter is the one ASCII character between columns. Default: a comma.
	Delimiter string `yaml:"delimiter"`
	// Columns gives the file's own name of each of our columns that the file
	// has: ours: theirs. Given at all, it names all columns of the file, which
	// may be in any order. Default: all of ours, under our names, in our order.
	Columns map[string]string `yaml:"columns"`
	// Constants are the values of columns that the file does not have.
	Constants map[string]string `yaml:"constants"`
	// Values translates values of a column: theirs: ours. Others stay as they are.
	Values map[string]map[string]string `yaml:"values"`
	// AbsentColumns is refuse, or allow when a file need not have the columns
	// that are optional. Default: refuse.
	AbsentColumns string `yaml:"absent_columns"`
	// ExtraColumns is refuse, or ignore when a file may have other columns.
	// Default: refuse.
	ExtraColumns string `yaml:"extra_columns"`

	content orderfile.Content // of the source
}

// Rows is the format as the codec of order files knows it.
func (f *Format) Rows() orderfile.Format {
	return orderfile.Format{
		Content: f.content, Delimiter: f.Delimiter, Charset: orderfile.Charset(f.Charset),
		Columns: f.Columns, Constants: f.Constants, Values: f.Values,
		AbsentColumns: f.AbsentColumns == ColumnsAllow, ExtraColumns: f.ExtraColumns == ColumnsIgnore,
	}
}

// extension is that of files of the compression.
func (f *Format) extension() string {
	switch unwrap.Compression(f.Compression) {
	case unwrap.Gzip:
		return ".csv.gz"
	case unwrap.Zip:
		return ".csv.zip"
	default:
		return ".csv"
	}
}

// extension is that of the source's files: CSV, perhaps compressed, perhaps
// encrypted after that.
func (s *Source) extension() string {
	if s.PGP.Enabled() {
		return s.Format.extension() + ".pgp"
	}
	return s.Format.extension()
}

func (f *Format) check(c checker, key string) {
	orText(&f.Compression, string(unwrap.None))
	c.oneOf(key+".compression", f.Compression, string(unwrap.None), string(unwrap.Gzip), string(unwrap.Zip))
	if f.Compression == string(unwrap.None) && c.Has(key+".max_ratio") {
		c.Problem(key+".max_ratio", "is for compressed files only")
	}
	or(c, key+".max_ratio", &f.MaxRatio, unwrap.DefaultRatio)
	orText(&f.Charset, string(orderfile.UTF8))
	f.Charset = strings.ToLower(f.Charset)
	orText(&f.Delimiter, ",")
	orText(&f.AbsentColumns, ColumnsRefuse)
	c.oneOf(key+".absent_columns", f.AbsentColumns, ColumnsRefuse, ColumnsAllow)
	orText(&f.ExtraColumns, ColumnsRefuse)
	c.oneOf(key+".extra_columns", f.ExtraColumns, ColumnsRefuse, ColumnsIgnore)
	rows := f.Rows()
	for _, p := range rows.Check() {
		c.Problem(key+"."+p.Key, "%s", p.Text)
	}
}

// checkProducts reports products that a format makes up.
func (f *Format) checkProducts(c checker, key string, cfg *Config) {
	const column = "card_product_id"
	check := func(key, id string) {
		if id != "" && find(cfg.Products, func(p Product) string { return p.ID }, id).ID == "" {
			c.Problem(key, "%q is not a product of this configuration", id)
		}
	}
	check(key+".constants."+column, f.Constants[column])
	for theirs, id := range f.Values[column] {
		check(key+".values."+column+"."+theirs, id)
	}
}
