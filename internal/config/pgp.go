package config

// The ways of asking for a signature.
const (
	SignatureRequired = "required" // by one of the verify keys, or the file is refused
	SignatureOptional = "optional" // may be absent; with verify keys, one that is there must be good
)

// SourcePGP says how order files are encrypted. A source that has it takes
// encrypted files only.
type SourcePGP struct {
	// DecryptKeyFiles hold our private keys, armored or binary. Files may be
	// encrypted to any of them, so that a change of keys needs no common
	// moment. Required.
	DecryptKeyFiles []File `yaml:"decrypt_key_files"`
	// PassphraseFile holds the passphrase of those that have one. Default: none has.
	PassphraseFile File `yaml:"passphrase_file"`
	// VerifyKeyFiles hold the public keys that the bank signs with. Required,
	// unless Signature is optional.
	VerifyKeyFiles []File `yaml:"verify_key_files"`
	// Signature is required or optional. Default: required.
	Signature string `yaml:"signature"`
}

// Enabled reports whether order files are encrypted.
func (p *SourcePGP) Enabled() bool { return len(p.DecryptKeyFiles) > 0 }

// ReportPGP says how reports are encrypted. Their names end with .pgp then;
// their control files stay clear.
type ReportPGP struct {
	// EncryptToFiles hold the bank's public keys, each of which can open the
	// reports. Required.
	EncryptToFiles []File `yaml:"encrypt_to_files"`
	// SignKeyFile holds our private key that signs them. Default: not signed.
	SignKeyFile File `yaml:"sign_key_file"`
	// PassphraseFile holds the passphrase of that key. Default: it has none.
	PassphraseFile File `yaml:"passphrase_file"`
	// Armor makes them text, a third larger. Default: false, binary.
	Armor bool `yaml:"armor"`
}

// Enabled reports whether reports are encrypted.
func (p *ReportPGP) Enabled() bool { return len(p.EncryptToFiles) > 0 }

func (p *SourcePGP) check(c checker, key string) {
	if !c.Has(key) {
		return
	}
	c.atLeastOne(key+".decrypt_key_files", len(p.DecryptKeyFiles))
	c.files(key+".decrypt_key_files", p.DecryptKeyFiles)
	c.files(key+".verify_key_files", p.VerifyKeyFiles)
	orText(&p.Signature, SignatureRequired)
	c.oneOf(key+".signature", p.Signature, SignatureRequired, SignatureOptional)
	if p.Signature == SignatureRequired && len(p.VerifyKeyFiles) == 0 {
		c.Problem(key+".verify_key_files", "at least one is required where signatures are; say signature: optional to take unsigned files")
	}
}

func (p *ReportPGP) check(c checker, key string) {
	if !c.Has(key) {
		return
	}
	c.atLeastOne(key+".encrypt_to_files", len(p.EncryptToFiles))
	c.files(key+".encrypt_to_files", p.EncryptToFiles)
	if p.PassphraseFile != "" && p.SignKeyFile == "" {
		c.Problem(key+".passphrase_file", "needs sign_key_file")
	}
}

// files refuses empty and repeated entries.
func (c checker) files(key string, list []File) {
	seen := map[File]int{}
	for i, f := range list {
		if !need(c, at(key, i), f) {
			continue
		}
		if first, ok := seen[f]; ok {
			c.Problem(at(key, i), "is the same file as %s", at(key, first))
			continue
		}
		seen[f] = i
	}
}
