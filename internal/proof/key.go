package proof

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Key signs checkpoints, with Ed25519.
type Key struct{ private ed25519.PrivateKey }

// keyName is what a key is called in its file. In a checkpoint it has the name of the log.
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
		return Key{}, fmt.Errorf("signing key: want PRIVATE+KEY+<name>+<hash>+<base64>, as \"weir key generate\" makes it: %w", err)
	}
	data, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 5)[4]) // NewSigner has seen the five
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return Key{}, errors.New("signing key: it is not of Ed25519")
	}
	return Key{ed25519.NewKeyFromSeed(data[1:])}, nil
}

// LoadOrCreateKey reads a key's file. If there is none it makes one that only its owner may read; created tells.
func LoadOrCreateKey(file string) (k Key, created bool, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		k, err = ParseKey(string(text))
		if err != nil {
			err = fmt.Errorf("%s: %w", file, err)
		}
		return k, false, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return k, false, fmt.Errorf("signing key: %w", err)
	}
	if k, err = GenerateKey(); err != nil {
		return k, false, err
	}
	if err := k.writeFile(file); errors.Is(err, fs.ErrExist) {
		return LoadOrCreateKey(file) // somebody else made it meanwhile
	} else if err != nil {
		return k, false, fmt.Errorf("signing key: %w", err)
	}
	return k, true, nil
}

// writeFile makes the file. A crash leaves none, or a whole one.
func (k Key) writeFile(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".weir-signing-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(k.String() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), file) // fails if it exists
}

// String returns the private key as ParseKey reads it.
func (k Key) String() string { return k.encode(keyName) }

func (k Key) encode(name string) string {
	public := append([]byte{algorithm}, k.Public()...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	return fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(append([]byte{algorithm}, k.private.Seed()...)))
}

// Public returns the public key.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// VerifierKey returns a public key as verifiers want it, for the log of that origin: <origin>+<hash>+<base64>.
func VerifierKey(origin string, public ed25519.PublicKey) (string, error) {
	return note.NewEd25519VerifierKey(origin, public)
}

// Sign returns the signed checkpoint of a log (https://c2sp.org/tlog-checkpoint). The signature has the name of the origin.
func (k Key) Sign(origin string, size int64, root Hash) (string, error) {
	signer, err := note.NewSigner(k.encode(origin))
	if err != nil {
		return "", fmt.Errorf("sign the checkpoint of %s: %w", origin, err)
	}
	c := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: size, Hash: root}}
	signed, err := note.Sign(&note.Note{Text: c.String()}, signer)
	return string(signed), err
}

// OpenCheckpoint verifies a signed checkpoint with any of the keys.
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
