package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
)

// slowly returns a window on a body that arrives a byte at a time.
func slowly(body []byte) *window {
	return &window{src: iotest.OneByteReader(bytes.NewReader(body)), most: 1 << 20, hold: new(Reservation)}
}

// cutElements returns the elements of a body.
func cutElements(body []byte) (all [][]byte, err error) {
	e := &elements{window: slowly(body), most: 1 << 20}
	defer e.close()
	for {
		_, element, err := e.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, bytes.Clone(element))
	}
}

// cutLines yields the lines of a body with their numbers.
func cutLines(t *testing.T, body []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		l := &lines{window: slowly(body), most: 1 << 20}
		defer l.close()
		for {
			n, line, err := l.next()
			if errors.Is(err, io.EOF) || err == nil && !yield(n, line) {
				return
			}
			if err != nil {
				t.Fatalf("%q: %v", body, err)
			}
		}
	}
}

// ReadElements finds in valid JSON what a general decoder finds, and in any body nothing that overlaps or is out of order.
func FuzzElements(f *testing.F) {
	for _, s := range []string{`[{"a":1},{}]`, `{"a":"]}"}`, ` [ 1 , "\"]" , [[]] , null ] `, `[]`, `[1,]`, `[,1]`, `[1 2]`, `{}{}`, `[}]`, `[{]}]`, `["`, `[1`, `[{}{}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		elements, err := cutElements(body)
		var want []json.RawMessage
		switch kind := jsontext.Value(body).Kind(); {
		case !json.Valid(body):
		case kind == '{' && err == nil:
			want = []json.RawMessage{bytes.TrimSpace(body)}
		case kind == '[' && err == nil:
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatal(err)
			}
		case kind == '{' || kind == '[' || err == nil:
			t.Fatalf("%q: %v", body, err)
		}
		if err != nil {
			return
		}
		var got []json.RawMessage
		rest := body
		for i, element := range elements {
			n := i + 1
			at := bytes.Index(rest, element)
			if n != len(got)+1 || len(element) == 0 || at < 0 {
				t.Fatalf("%q: element %d is %q", body, n, element)
			}
			rest = rest[at+len(element):]
			got = append(got, element)
		}
		if json.Valid(body) && !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	})
}

// ReadLines cuts each line that is not blank, with its number.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "a", "a\n", "a\r\n\n \t\nb\nc\r", "\n\n", "\r\n{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		all := strings.Split(string(body), "\n")
		next := 0
		for n, line := range cutLines(t, body) {
			for ; next < n-1; next++ {
				if strings.Trim(all[next], " \t\r") != "" {
					t.Fatalf("%q: line %d is left out", body, next+1)
				}
			}
			if strings.TrimSuffix(all[next], "\r") != string(line) || strings.Trim(string(line), " \t\r") == "" {
				t.Fatalf("%q: line %d is %q", body, n, line)
			}
			next = n
		}
		if rest := strings.Join(all[next:], ""); strings.Trim(rest, " \t\r") != "" {
			t.Fatalf("%q: %q is left out", body, rest)
		}
	})
}
