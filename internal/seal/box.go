package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
)

// Box hides what others have entrusted to weir, such as the password for a server that events are sent to, from those
// who can read the bucket: AES-256-GCM with random nonces, under a key derived from the nodes' secret. It may be used
// concurrently. The zero Box hides and opens nothing.
type Box struct{ cipher cipher.AEAD }

// NewBox returns the box that the nodes with a secret share. The secret has at least 32 random bytes.
func NewBox(secret []byte) Box {
	key, err := hkdf.Key(sha256.New, secret, nil, "weir boxes of others' secrets", 32)
	if err != nil {
		panic(err) // 32 bytes always can be derived
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has blocks of the size that GCM needs
	}
	return Box{gcm}
}

// Hide returns a text as it may lie in the bucket, at a place there. The place names the document and the field, so
// that nobody can put the text into another one, whose owner would make a node send it elsewhere.
func (b Box) Hide(place, text string) (hidden string, err error) {
	if b.cipher == nil {
		return "", ErrNoSecret
	}
	return base64.StdEncoding.EncodeToString(b.cipher.Seal(nil, nil, []byte(text), []byte(place))), nil
}

// Show returns the text that was hidden at a place. ErrForged if it was not, or with another secret.
func (b Box) Show(place, hidden string) (text string, err error) {
	if b.cipher == nil {
		return "", ErrNoSecret
	}
	data, err := base64.StdEncoding.DecodeString(hidden)
	if err != nil {
		return "", ErrForged
	}
	plain, err := b.cipher.Open(nil, nil, data, []byte(place))
	if err != nil {
		return "", ErrForged
	}
	return string(plain), nil
}
