package auth

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

func TestReferencesOfOthersAreNotBelieved(t *testing.T) {
	of := func(s Secret) *Authenticator { return New(bucketest.NewMemory(), nil, s, Options{}) }
	one, again, other := of(Secret{1}), of(Secret{1}), of(Secret{2})
	content := []byte(`{"position":1}`)
	text := one.Refer("cursor", content)
	if got, ok := again.Referred("cursor", text); !ok || !bytes.Equal(got, content) {
		t.Errorf("another node with the secret: %q, %t", got, ok)
	}
	if got, ok := one.Referred("cursor", one.Refer("cursor", nil)); !ok || len(got) > 0 {
		t.Errorf("empty content: %q, %t", got, ok)
	}
	last := "A"
	if strings.HasSuffix(text, last) {
		last = "B"
	}
	for name, bad := range map[string]string{
		"empty": "", "no base64": "!" + text[1:], "cut": text[:len(text)-4], "longer": text + "AAAA",
		"changed":            "B" + strings.TrimPrefix(text[1:], "B"),
		"changed at its end": text[:len(text)-4] + last + text[len(text)-3:],
		"tag alone":          text[:22], "very long": strings.Repeat("A", 1<<20),
		"another secret's":    other.Refer("cursor", content),
		"for another purpose": one.Refer("read", content), "purpose and content exchanged": one.Refer("cursor\x00", content),
	} {
		if got, ok := one.Referred("cursor", bad); ok {
			t.Errorf("%s: is believed: %q", name, got)
		}
	}
}

func FuzzReferred(f *testing.F) {
	a := New(bucketest.NewMemory(), nil, Secret{1}, Options{})
	f.Add(a.Refer("cursor", []byte("x")))
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if content, ok := a.Referred("cursor", text); ok && a.Refer("cursor", content) != text {
			t.Errorf("%q and %q are the same reference", text, a.Refer("cursor", content))
		}
	})
}
