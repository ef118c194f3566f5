package gzipmember

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// packed is a gzip member from another writer.
func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// All members are read. If the last one is not whole, the error says what is wrong with the end.
func TestReaderSaysHowAFileEnds(t *testing.T) {
	a, b := packed(t, "one\n"), packed(t, strings.Repeat("two\n", 100_000))
	var r Reader // reused for each file
	check := func(file, text string, want error) {
		t.Helper()
		err := r.Reset(bufio.NewReader(strings.NewReader(file)))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(&r)
		}
		if !errors.Is(err, want) || want == nil && (err != nil || string(got) != text) {
			t.Errorf("a file of %d bytes: %d bytes, %v; want %d bytes, %v", len(file), len(got), err, len(text), want)
		}
	}
	check(a, "one\n", nil)
	check(a+b+a, "one\n"+strings.Repeat("two\n", 100_000)+"one\n", nil)
	check(packed(t, "")+a, "one\n", nil)
	for n := 1; n < len(a); n++ {
		check(a[:n], "", ErrCut)
		if n > 1 {
			check(a+b+a[:n], "", ErrCut)
		}
	}
	for _, behind := range []string{"\x00", "\x1f", "hello\n", "\x1f\x8c", strings.Repeat("\x00", 512)} {
		check(a+behind, "", ErrBehind)
		check(a+b+behind, "", ErrBehind)
	}
	check("hello, world", "", gzip.ErrHeader)
	check("", "", io.EOF)
}
