package d1

// NewSealerForTest gives the benchmark the bare encryption.
func NewSealerForTest(key JWEKey) (func([]byte) ([]byte, error), error) {
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	return func(clearText []byte) ([]byte, error) { return s.appendJWE(make([]byte, 0, 1024), clearText) }, nil
}
