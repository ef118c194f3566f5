package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The receivers' own package accepts what is signed, and nothing that was changed.
func TestReceiversAcceptTheSignature(t *testing.T) {
	text := NewSecret()
	secret, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := standardwebhooks.NewWebhook(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", "{}", `{"text":"ä.b.1"}`, strings.Repeat("x", 1<<16)} {
		h := http.Header{}
		secret.Sign(h, "6a793f48c0eb9e7a17712f00-7", time.Now(), []byte(body))
		if err := receiver.Verify([]byte(body), h); err != nil {
			t.Errorf("body of %d bytes: %v", len(body), err)
		}
		if receiver.Verify([]byte(body+" "), h) == nil {
			t.Error("another body is accepted")
		}
		h.Set("webhook-id", "6a793f48c0eb9e7a17712f00-8")
		if receiver.Verify([]byte(body), h) == nil {
			t.Error("another id is accepted")
		}
	}
}

func TestSecretsOfAnotherFormAreRefused(t *testing.T) {
	key := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n))) }
	for text, ok := range map[string]bool{
		"":                                 false,
		"whsec_":                           false,
		key(32):                            false,
		"whsec_" + key(23):                 false,
		"whsec_" + key(24):                 true,
		"whsec_" + key(64):                 true,
		"whsec_" + key(65):                 false,
		"WHSEC_" + key(32):                 false,
		"whsec_" + key(32) + "\n":          false,
		"whsec_\n" + key(32):               false,
		"whsec_" + key(32)[1:]:             false,
		"whsec_" + strings.Repeat("*", 32): false,
	} {
		_, err := ParseSecret(text)
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrSecret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	text := NewSecret()
	secret, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(format, secret); strings.Contains(got, text[10:20]) || !strings.Contains(got, "whsec_…") {
			t.Errorf("%s prints %s", format, got)
		}
	}
}
