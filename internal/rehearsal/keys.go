package rehearsal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
)

// keys are made for this one world.
type keys struct {
	token    *ecdsa.PrivateKey // signs the bank's token requests
	cardData *ecdsa.PrivateKey // D1's; the daemon gets the public half
	password string            // of the daemon's SFTP login
}

func newKeys(dir string) (*keys, error) {
	token, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cardData, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tokenDER, err := x509.MarshalPKCS8PrivateKey(token)
	if err != nil {
		return nil, err
	}
	cardDataDER, err := x509.MarshalPKIXPublicKey(&cardData.PublicKey)
	if err != nil {
		return nil, err
	}
	k := &keys{token: token, cardData: cardData, password: rand.Text()}
	files := map[string][]byte{
		"d1-token.pem":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: tokenDER}),
		"d1-card-data.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: cardDataDER}),
		"sftp-password":    []byte(k.password + "\n"),
		"sealing.key":      randomKey(),
		"fingerprint.key":  randomKey(),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func randomKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return []byte(base64.StdEncoding.EncodeToString(key) + "\n")
}
