package issuance

// FileError says that a file cannot be taken as it is, and by which code it is
// refused. Reading it again does not help; sending it again, mended, does.
// Whatever takes a file apart (decompression, decryption, character set, CSV)
// returns it, and every other error means that reading itself failed.
type FileError struct {
	Code Code
	Text string // for the sender; never card or personal data
}

// Error returns the text.
func (e *FileError) Error() string { return e.Text }
