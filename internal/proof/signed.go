package proof

import (
	"encoding/base64"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// UntrustedError is the error (wrapped) for a checkpoint that no trusted key has signed.
type UntrustedError struct {
	SignedBy []string        // keys that its signatures name; anybody can write these names
	Trusted  []note.Verifier // keys that were tried
}

func (e *UntrustedError) Error() string {
	by := "it has no signature"
	if len(e.SignedBy) > 0 {
		by = "it is signed by " + strings.Join(e.SignedBy, ", ")
	}
	return fmt.Sprintf("checkpoint: no trusted key has signed it: %s; the trusted keys are %s", by,
		strings.Join(e.TrustedIDs(), ", "))
}

// TrustedIDs returns the trusted keys as a signature would name them.
func (e *UntrustedError) TrustedIDs() (ids []string) {
	for _, v := range e.Trusted {
		ids = append(ids, keyID(v.Name(), v.KeyHash()))
	}
	return ids
}

// keyID returns the name of a key in a signature.
func keyID(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

func names(sigs []note.Signature) (ids []string) {
	for _, s := range sigs {
		ids = append(ids, keyID(s.Name, s.Hash))
	}
	return ids
}

// ParseWitness reads the public key of a witness (https://c2sp.org/tlog-cosignature).
func ParseWitness(text string) (note.Verifier, error) {
	v, err := torchwood.NewCosignatureVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("witness key: want <name>+<hash>+<base64>, as "+
			"https://c2sp.org/tlog-cosignature says: %w", err)
	}
	return v, nil
}

// Signatures tells which keys have signed a checkpoint.
type Signatures struct {
	Witnesses []string // the given witnesses whose signatures verify
	Unchecked []string // unknown keys; anybody can write such signatures
}

// Signatures returns the keys of a checkpoint that one of k has signed. A signature that names a known key and does not
// verify is an error.
func (k *Keys) Signatures(origin, signed string, witnesses []note.Verifier) (Signatures, error) {
	own, err := k.verifiers(origin)
	if err != nil {
		return Signatures{}, err
	}
	n, err := note.Open([]byte(signed), note.VerifierList(append(own, witnesses...)...))
	if err != nil {
		return Signatures{}, fmt.Errorf("checkpoint: %w", err)
	}
	for _, sig := range n.Sigs {
		if data, err := base64.StdEncoding.DecodeString(sig.Base64); err != nil ||
			base64.StdEncoding.EncodeToString(data) != sig.Base64 {
			return Signatures{}, fmt.Errorf("checkpoint: the signature by %s is not in canonical base64",
				keyID(sig.Name, sig.Hash))
		}
	}
	s := Signatures{Unchecked: names(n.UnverifiedSigs)}
	for _, w := range witnesses {
		for _, sig := range n.Sigs {
			if sig.Name == w.Name() && sig.Hash == w.KeyHash() {
				s.Witnesses = append(s.Witnesses, keyID(sig.Name, sig.Hash))
				break
			}
		}
	}
	return s, nil
}
