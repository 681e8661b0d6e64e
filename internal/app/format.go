package app

import (
	"io"

	"cardbatch/internal/config"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/unwrap"
)

// unwrapping is one layer around an order file that is taken off while it is read.
type unwrapping func(io.Reader) (io.Reader, error)

// sourceFormat makes the layout of a source's rows and takes off the compression
// around them, nil when there is none.
func sourceFormat(s config.Source) (*orderfile.Layout, unwrapping, error) {
	layout, err := orderfile.NewLayout(s.Format.Rows())
	if err != nil {
		return nil, nil, invalid(err)
	}
	if s.Format.Compression == string(unwrap.None) {
		return layout, nil, nil
	}
	compression := unwrap.Compression(s.Format.Compression)
	limits := unwrap.Limits{MaxBytes: int64(s.MaxSize), MaxRatio: s.Format.MaxRatio}
	return layout, func(r io.Reader) (io.Reader, error) { return unwrap.Reader(r, compression, limits) }, nil
}
