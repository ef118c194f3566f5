package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

func TestElementsAreSplitAtTheirEnds(t *testing.T) {
	for body, want := range map[string]string{
		"a\r\n\n  \r\nb\nc ":          `1:a 4:b 5:c `,
		"\xef\xbb\xbf\n\xef\xbb\xbfa": "2:\xef\xbb\xbfa",
		"":                            ``,
	} {
		var all []string
		for n, line := range cutLines(t, []byte(body)) {
			all = append(all, fmt.Sprintf("%d:%s", n, line))
		}
		if got := strings.Join(all, " "); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
	for range cutLines(t, []byte("a\nb")) {
		break // must not go on
	}
	for body, want := range map[string]string{
		` {"a":[1]} `:              `{"a":[1]}`,
		` [ {"a":"],"} , 2,"x" ] `: `{"a":"],"} 2 "x"`,
		`[]`:                       ``,
		``:                         ``, // no events
		// brackets are counted, not matched: the element ends early
		`[{"a":]}]`:                `error: not JSON: a comma`,
		`[{"a" 1}, {"b":1,"b":2}]`: `{"a" 1} {"b":1,"b":2}`,
		"\xef\xbb\xbf[1]":          `1`,
		"{}\n{}": `error: there is data after the end of the JSON; to send one event on each line, ` +
			`use application/x-ndjson`,
		`7`:          `error: the body is neither`,
		`[1,]`:       `error: not JSON: an element is missing`,
		`[1 2]`:      `error: not JSON: a comma`,
		`[1`:         `error: not JSON: a comma`,
		`[{"a":1`:    `error: the body ends within an event`,
		`{"a":"`:     `error: the body ends within a string`,
		"{\x00}\x00": `error: the body could not be read: not UTF-8: it looks like UTF-16LE`,
	} {
		elements, err := cutElements([]byte(body))
		got := string(bytes.Join(elements, []byte(" ")))
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want && (err == nil || !strings.HasPrefix(got, want)) {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

// In valid JSON, ReadElements finds the elements that a general decoder finds. In any body, its elements do not overlap
// and are in order.
func FuzzElements(f *testing.F) {
	for _, s := range []string{`[{"a":1},{}]`, `{"a":"]}"}`, ` [ 1 , "\"]" , [[]] , null ] `, `[]`, `[1,]`, `[,1]`,
		`[1 2]`, `{}{}`, `[}]`, `[{]}]`, `["`, `[1`, `[{}{}]`} {
		f.Add([]byte(s))
	}
	f.Add([]byte("\xef\xbb\xbf[{}]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		elements, err := cutElements(body)
		body = bytes.TrimPrefix(body, []byte(mark))
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
		if json.Valid(body) && !slices.EqualFunc(got, want,
			func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	})
}

// mark is the byte-order mark of UTF-8.
const mark = "\xef\xbb\xbf"

// isForeign tells whether a body begins like JSON or white space in UTF-16 or UTF-32.
func isForeign(body []byte) bool {
	begins := []string{"\xff\xfe", "\xfe\xff", "\x00\x00\xfe\xff"}
	for _, c := range " \t\r\n{[\"" {
		begins = append(begins, string(c)+"\x00", "\x00"+string(c))
	}
	return slices.ContainsFunc(begins, func(begin string) bool { return strings.HasPrefix(string(body), begin) })
}

// ReadLines returns each line that is not blank, with its number. It skips a byte-order mark, and refuses other
// encodings by name.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "a", "a\n", "a\r\n\n \t\nb\nc\r", "\n\n", "\r\n{}", mark, mark + "a\n" + mark,
		"\xff\xfe{\x00", "\x00{", "\n\x00", "\x00\x00\xfe\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if isForeign(body) {
			l := &lines{window: slowly(body), most: 1 << 20}
			defer l.close()
			if _, _, err := l.next(); err == nil || !errors.As(err, new(*Unreadable)) ||
				!strings.Contains(err.Error(), "looks like UTF-") {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		cut := body
		body = bytes.TrimPrefix(body, []byte(mark))
		all := strings.Split(string(body), "\n")
		next := 0
		for n, line := range cutLines(t, cut) {
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
