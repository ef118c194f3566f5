package proof

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/durable"
)

// Keys are the keys of a bucket: those that sign, and retired ones, whose signatures still count. Keys are never read
// from the bucket itself, so that somebody who can write it cannot make weir trust another key.
//
// In a file or the environment, each key is on a line of its own. Private keys sign, in the order of their lines;
// public keys only verify. All private keys sign each checkpoint. So after a rotation, verifiers that have only the old
// key and those that have only the new one both accept checkpoints, until the old key is retired.
type Keys struct {
	Signers []Key
	Trusted []ed25519.PublicKey // includes the public keys of the signers
}

// NewKeys returns keys that sign.
func NewKeys(signers ...Key) *Keys {
	k := &Keys{Signers: signers}
	for _, s := range signers {
		k.Trusted = append(k.Trusted, s.Public())
	}
	return k
}

// ParseKeys reads keys, one on each line. Empty lines and those that begin with '#' are skipped.
func ParseKeys(text string) (*Keys, error) {
	k := &Keys{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if !strings.HasPrefix(line, "PRIVATE+") {
			public, err := ParsePublic(line)
			if err != nil {
				return nil, err
			}
			k.Trusted = append(k.Trusted, public)
			continue
		}
		signer, err := ParseKey(line)
		if err != nil {
			return nil, err
		}
		k.Signers = append(k.Signers, signer)
		k.Trusted = append(k.Trusted, signer.Public())
	}
	if len(k.Trusted) == 0 {
		return nil, errors.New("keys: there is none; want one on each line")
	}
	return k, nil
}

// LoadKeys reads a file of keys, one of which must sign, and which only its owner may read.
func LoadKeys(file string) (*Keys, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("signing key %s can be read by others: run chmod 600 %s", file, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	k, err := ParseKeys(string(text))
	if err == nil && len(k.Signers) == 0 {
		err = errors.New("it has no private key")
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %s: %w", file, err)
	}
	return k, nil
}

// LoadOrCreateKeys reads a file of keys. If there is none, it creates one with a new key and sets created.
func LoadOrCreateKeys(file string) (k *Keys, created bool, err error) {
	k, err = LoadKeys(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	key, err := GenerateKey()
	if err != nil {
		return nil, false, err
	}
	if err := CreateKeys(file, key.String()+"\n"); errors.Is(err, fs.ErrExist) {
		k, err = LoadKeys(file) // another process made it meanwhile
		return k, false, err
	} else if err != nil {
		return nil, false, err
	}
	return NewKeys(key), true, nil
}

// CreateKeys makes a file of keys that only its owner may read. If the file exists, it returns fs.ErrExist (wrapped). A
// crash leaves no file, or a whole one.
func CreateKeys(file, text string) error { return wrapKeys(durable.Create(file, []byte(text))) }

// ReplaceKeys is CreateKeys for a file that may exist; it is replaced.
func ReplaceKeys(file, text string) error { return wrapKeys(durable.Replace(file, []byte(text))) }

// RotateKeys adds a new key to a file of keys and returns it. From then on both it and the existing keys sign.
func RotateKeys(file string) (Key, error) {
	text, err := keysText(file)
	if err != nil {
		return Key{}, err
	}
	key, err := GenerateKey()
	if err != nil {
		return Key{}, err
	}
	return key, ReplaceKeys(file, key.String()+"\n"+text)
}

// RetireKeys keeps only the first private key of a file. The others are replaced by their public keys, so that their
// signatures still count.
func RetireKeys(file string) error {
	text, err := keysText(file)
	if err != nil {
		return err
	}
	var lines []string
	signing := false
	for line := range strings.Lines(text) {
		key, err := ParseKey(line)
		if err == nil && signing {
			line = key.PublicText() + "\n"
		}
		signing = signing || err == nil
		lines = append(lines, line)
	}
	return ReplaceKeys(file, strings.Join(lines, ""))
}

// keysText returns the text of a file of keys, after checking it. It ends with a newline.
func keysText(file string) (string, error) {
	if _, err := LoadKeys(file); err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("signing key: %w", err)
	}
	return strings.TrimRight(string(text), "\n") + "\n", nil
}

func wrapKeys(err error) error {
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	return nil
}

// SignCheckpoint returns the checkpoint of a log (https://c2sp.org/tlog-checkpoint), signed by all signers. The
// signatures have the name of the origin.
func (k *Keys) SignCheckpoint(origin string, size int64, root Hash) (string, error) {
	var signers []note.Signer
	for _, key := range k.Signers {
		signer, err := note.NewSigner(key.encode(origin))
		if err != nil {
			return "", fmt.Errorf("sign the checkpoint of %s: %w", origin, err)
		}
		signers = append(signers, signer)
	}
	c := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: size, Hash: root}}
	signed, err := note.Sign(&note.Note{Text: c.String()}, signers...)
	return string(signed), err
}

// OpenCheckpoint verifies that a checkpoint is one of the origin, signed by a trusted key.
func (k *Keys) OpenCheckpoint(origin, signed string) (torchwood.Checkpoint, error) {
	verifiers, err := k.verifiers(origin)
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	c, err := OpenCheckpoint([]byte(signed), verifiers...)
	var unverified *note.UnverifiedNoteError
	if errors.As(err, &unverified) {
		err = &UntrustedError{SignedBy: names(unverified.Note.UnverifiedSigs), Trusted: verifiers}
	}
	if err == nil && c.Origin != origin {
		err = fmt.Errorf("checkpoint: it is of %q, not of %q", c.Origin, origin)
	}
	return c, err
}

// verifiers returns the trusted keys under the names that they have in a checkpoint of the origin, without duplicates.
func (k *Keys) verifiers(origin string) (all []note.Verifier, err error) {
	seen := map[uint32]bool{}
	for _, public := range k.Trusted {
		text, err := VerifierKey(origin, public)
		var v note.Verifier
		if err == nil {
			v, err = note.NewVerifier(text)
		}
		if err != nil {
			return nil, fmt.Errorf("checkpoint of %q: %w", origin, err)
		}
		if !seen[v.KeyHash()] {
			seen[v.KeyHash()] = true
			all = append(all, v)
		}
	}
	return all, nil
}

// Sign signs a statement in a context with the first signer. The context prevents that the statement is taken for one
// of another kind.
func (k *Keys) Sign(context string, statement []byte) []byte {
	return ed25519.Sign(k.Signers[0].private, inContext(context, statement))
}

// Verify tells whether a trusted key signed a statement in a context.
func (k *Keys) Verify(context string, statement, signature []byte) bool {
	message := inContext(context, statement)
	for _, public := range k.Trusted {
		if len(signature) == ed25519.SignatureSize && ed25519.Verify(public, message, signature) {
			return true
		}
	}
	return false
}

// inContext prefixes a statement. No checkpoint begins with a zero byte.
func inContext(context string, statement []byte) []byte {
	return append([]byte("\x00"+context+"\n"), statement...)
}

// Origin returns the origin that a signed checkpoint claims, or "".
func Origin(signed string) string {
	origin, _, _ := strings.Cut(signed, "\n")
	return origin
}
