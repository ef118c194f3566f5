package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// maxReference bounds a reference, in bytes.
const maxReference = 4 << 10

// referenceTag is the length of the MAC of a reference, a truncated HMAC-SHA256, by which a node can tell that a node
// made it.
const referenceTag = 16

// Refer returns content as a text that a client keeps and sends back, so that no node has to. Any node with this secret
// can tell that a node with this secret made it for this purpose. The client can read the content.
func (a *Authenticator) Refer(purpose string, content []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(a.referenceTag(purpose, content), content...))
}

// Referred returns the content of a text that Refer made for a purpose; false for any other text.
func (a *Authenticator) Referred(purpose, text string) (content []byte, ok bool) {
	if len(text) > maxReference {
		return nil, false
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(data) < referenceTag {
		return nil, false
	}
	content = data[referenceTag:]
	return content, hmac.Equal(data[:referenceTag], a.referenceTag(purpose, content))
}

// Tag returns 16 bytes that only a node with this secret can make of a content for a purpose.
func (a *Authenticator) Tag(purpose string, content []byte) []byte {
	return a.referenceTag(purpose, content)
}

func (a *Authenticator) referenceTag(purpose string, content []byte) []byte {
	mac := hmac.New(sha256.New, a.references)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write(content)
	return mac.Sum(nil)[:referenceTag]
}
