// Package orderfiletest is package sample under the name that tests know it by.
package orderfiletest

import (
	"io"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile/sample"
)

// The products that generated rows use, and the key id in the made-up JWEs.
const (
	ProductVisa       = sample.ProductVisa
	ProductMastercard = sample.ProductMastercard
	SampleKid         = sample.Kid
)

// Options is [sample.Options].
type Options = sample.Options

// File is [sample.File].
type File = sample.File

// Generate is [sample.Generate].
func Generate(w io.Writer, o Options) (File, error) { return sample.Generate(w, o) }

// Products is [sample.Products].
func Products() map[string]issuance.Product { return sample.Products() }

// NoiseJWE is [sample.NoiseJWE].
func NoiseJWE(kid string, random func() byte) string { return sample.NoiseJWE(kid, random) }
