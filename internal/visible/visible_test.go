package visible

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNothingActsOnATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain ÄÖ 日本 e\u0301":   "plain ÄÖ 日本 e\u0301",
		"\x1b[31mred\x07":       `\u001b[31mred\u0007`,
		"\u009b31m":             `\u009b31m`,
		"a\u202eb\u2066c\u061c": `a\u202eb\u2066c\u061c`,
		"two\nlines\r\tand":     `two\u000alines\u000d\u0009and`,
		"tag \U000e0041":        `tag \udb40\udc41`,
		"bad \xff":              "bad \ufffd",
		"\ufeffbom\u00ad":       `\ufeffbom\u00ad`,
	} {
		if got := Text(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestLinesOfOthersAreIndented(t *testing.T) {
	if got := Lines("a\nweir: verified\n"); got != "a\n  weir: verified" {
		t.Errorf("got %q", got)
	}
	var b strings.Builder
	Printf(&b, "%s: %v, %d\n", "a\nb", fmt.Errorf("c\x1b"), 7)
	if got := b.String(); got != `a\u000ab: c\u001b, 7`+"\n" {
		t.Errorf("got %q", got)
	}
}

// Whatever is written in whatever pieces comes out harmless, and JSON as the same JSON.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("a\u202eb\x9b\xff\n"), 2)
	f.Add([]byte("\U000e0041 日本"), 1)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		size = max(1, size%16)
		var b bytes.Buffer
		w := NewWriter(&b)
		for rest := text; len(rest) > 0; {
			n := min(size, len(rest))
			if written, err := w.Write(rest[:n]); err != nil || written != n {
				t.Fatal(written, err)
			}
			rest = rest[n:]
		}
		for _, r := range b.String() {
			if !Rune(r) && r != '\n' && r != '\t' {
				t.Fatalf("%q came through: %q", r, b.String())
			}
		}
		if !utf8.Valid(text) {
			return
		}
		encoded, err := json.Marshal(string(text))
		if err != nil {
			t.Fatal(err)
		}
		b.Reset()
		w.Write(encoded)
		var back string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != string(text) {
			t.Fatalf("%q comes back as %q, %v", text, back, err)
		}
	})
}
