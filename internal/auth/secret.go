package auth

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/weirlog/weir/internal/durable"
)

// Secret is the key with which a node signs tokens and nonces. It is never in the bucket: an attacker who can write the
// bucket must not be able to act as a credential.
type Secret [32]byte

const secretPrefix = "weir-secret-1 "

// ParseSecret reads the line that a secret file holds.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), secretPrefix)
	data, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(data) != len(Secret{}) {
		return Secret{}, fmt.Errorf("not a secret: want one line %q and 32 bytes in base64", secretPrefix)
	}
	return Secret(data), nil
}

// LoadSecret reads a secret file, which only its owner may read; fs.ErrNotExist (wrapped) if there is none.
func LoadSecret(name string) (Secret, error) {
	st, err := os.Stat(name)
	if err != nil {
		return Secret{}, fmt.Errorf("secret: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return Secret{}, fmt.Errorf("secret %s can be read by others: run chmod 600 %s", name, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Secret{}, fmt.Errorf("secret: %w", err)
	}
	s, err := ParseSecret(string(data))
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// LoadOrCreateSecret reads a secret file, and makes one with a new secret if there is none.
func LoadOrCreateSecret(name string) (Secret, error) {
	s, err := LoadSecret(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	rand.Read(s[:]) // never fails
	if err := createSecret(name, s); errors.Is(err, fs.ErrExist) {
		return LoadSecret(name) // another process was faster
	} else if err != nil {
		return Secret{}, fmt.Errorf("secret: %w", err)
	}
	return s, nil
}

// createSecret makes the file, durably. If it exists, it returns fs.ErrExist (wrapped).
func createSecret(name string, s Secret) error {
	return durable.Create(name, fmt.Appendf(nil, "%s%s\n", secretPrefix, base64.StdEncoding.EncodeToString(s[:])))
}

// derive returns 32 bytes that depend on the secret and what they are for (HKDF, RFC 5869).
func (s Secret) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, s[:], nil, "weir "+purpose, 32)
	if err != nil {
		panic(err) // 32 bytes always can be derived
	}
	return key
}

// ID returns a name of the secret that tells nothing of it.
func (s Secret) ID() string { return hex.EncodeToString(s.derive("name of the secret")[:8]) }

func (s Secret) signingKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(s.derive("tokens")) }
