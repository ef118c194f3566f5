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

// Keys are the keys of a bucket: those that sign, and those that have signed and are retired. What a bucket itself says
// of keys is never believed, so that who can write it cannot make it trust another one.
//
// In a file or the environment each stands on a line of its own: private keys sign, the first of them first; public
// keys only verify. All private keys sign each checkpoint, so that after a rotation those who know only the old key and
// those who know only the new one can follow, until the old one is retired.
type Keys struct {
	Signers []Key
	Trusted []ed25519.PublicKey // the signers' too
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
		return nil, errors.New("keys: there is none")
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
		err = errors.New("it holds no private key")
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %s: %w", file, err)
	}
	return k, nil
}

// LoadOrCreateKeys reads a file of keys. If there is none it makes one with a new key; created tells.
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
		k, err = LoadKeys(file) // somebody else made it meanwhile
		return k, false, err
	} else if err != nil {
		return nil, false, err
	}
	return NewKeys(key), true, nil
}

// CreateKeys makes a file of keys that only its owner may read; fs.ErrExist (wrapped) if it exists. A crash leaves
// none, or a whole one.
func CreateKeys(file, text string) error { return wrapKeys(durable.Create(file, []byte(text))) }

// ReplaceKeys is CreateKeys for a file that exists.
func ReplaceKeys(file, text string) error { return wrapKeys(durable.Replace(file, []byte(text))) }

// RotateKeys adds a new key to a file of keys and returns it. It signs beside those that sign already.
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

// RetireKeys leaves only the first private key of a file. The others are replaced by their public keys, so that what
// they signed is believed.
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

// keysText returns the text of a file of keys, which is valid and ends with a newline.
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

// verifiers returns the trusted keys under the name that they have in a checkpoint of the origin, each once.
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

// Sign signs a statement in a context, which keeps it from being taken for one of another kind, with the first signer.
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

// Origin returns the origin that a signed checkpoint claims, "" if it claims none.
func Origin(signed string) string {
	origin, _, _ := strings.Cut(signed, "\n")
	return origin
}
