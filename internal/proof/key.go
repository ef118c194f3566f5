package proof

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// Key signs checkpoints, with Ed25519.
type Key struct{ private ed25519.PrivateKey }

// keyName is the name of a key in its file. In a checkpoint, the key has the name of the log.
const keyName = "weir"

// algorithm is Ed25519's number in signed notes (https://c2sp.org/signed-note).
const algorithm = 1

// GenerateKey returns a new key.
func GenerateKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return Key{private}, err
}

// ParseKey reads a private key in the form of golang.org/x/mod/sumdb/note: PRIVATE+KEY+<name>+<hash>+<base64>.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if _, err := note.NewSigner(text); err != nil {
		return Key{}, fmt.Errorf("signing key: want PRIVATE+KEY+<name>+<hash>+<base64>, as \"weir key generate\" "+
			"makes it: %w", err)
	}
	data, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 5)[4]) // NewSigner checks the form
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return Key{}, errors.New("signing key: it is not of Ed25519")
	}
	return Key{ed25519.NewKeyFromSeed(data[1:])}, nil
}

// String returns the private key as ParseKey reads it.
func (k Key) String() string { return k.encode(keyName) }

func (k Key) encode(name string) string {
	public := append([]byte{algorithm}, k.Public()...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	return fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", name, sum[:4],
		base64.StdEncoding.EncodeToString(append([]byte{algorithm}, k.private.Seed()...)))
}

// Public returns the public key.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// PublicText returns the public key as ParsePublic reads it: weir+<hash>+<base64>. It is the same for all logs of a
// bucket.
func (k Key) PublicText() string {
	text, err := VerifierKey(keyName, k.Public())
	if err != nil {
		panic(err) // the name and the length are constants
	}
	return text
}

// ParsePublic reads a public key in the form of golang.org/x/mod/sumdb/note: <name>+<hash>+<base64>, with any name.
func ParsePublic(text string) (ed25519.PublicKey, error) {
	text = strings.TrimSpace(text)
	if _, err := note.NewVerifier(text); err != nil {
		return nil, fmt.Errorf("public key: want <name>+<hash>+<base64>, as \"weir key show\" prints it: %w", err)
	}
	data, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 3)[2]) // NewVerifier checks the form
	if err != nil || len(data) != 1+ed25519.PublicKeySize || data[0] != algorithm {
		return nil, errors.New("public key: it is not of Ed25519")
	}
	return data[1:], nil
}

// VerifierKey returns a public key in the form of note.NewVerifier, for the log of an origin: <origin>+<hash>+<base64>.
func VerifierKey(origin string, public ed25519.PublicKey) (string, error) {
	return note.NewEd25519VerifierKey(origin, public)
}

// OpenCheckpoint verifies a signed checkpoint with any of the keys. A signature covers only the checkpoint, not the
// name on the signature line, and one key signs all logs of a bucket. So the caller must check the checkpoint's origin.
func OpenCheckpoint(signed []byte, keys ...note.Verifier) (torchwood.Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(keys...))
	if err != nil {
		return torchwood.Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil {
		return torchwood.Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}
