package connect

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Name appends the name of a member to an object, with a comma before it unless it is the first.
func Name(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	return append(String(dst, name), ':')
}

// String appends a string in JSON. Bytes that are not UTF-8 are replaced by U+FFFD.
func String(dst []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return String(dst, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return quoted
}

// Given appends a member that is a string, unless that is empty.
func Given(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	return String(Name(dst, name), s)
}

// ErrNoObject is returned for JSON that is no object.
var ErrNoObject = errors.New("it is not a JSON object")

// Members calls each with the name and the value of the members of an object, in their order; the value lies in raw.
// An error is that raw is not JSON or no object, or that of each, which ends it.
func Members(raw []byte, each func(name string, value []byte) error) error {
	return places(raw, func(name string, start, end int) error { return each(name, raw[start:end:end]) })
}

// places is Members with the places of values in raw.
func places(raw []byte, each func(name string, start, end int) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true))
	switch t, err := d.ReadToken(); {
	case err != nil:
		return notJSON(err)
	case t.Kind() != '{':
		return ErrNoObject
	}
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return notJSON(err)
		}
		name := t.String()
		v, err := d.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		end := int(d.InputOffset())
		if err := each(name, end-len(v), end); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return notJSON(err)
	}
	if len(bytes.TrimLeft(raw[d.InputOffset():], " \t\r\n")) > 0 {
		return errors.New("it is not JSON: there is data after its end")
	}
	return nil
}

// Elements calls each with the elements of an array, in their order; they lie in raw. An error is that raw is not JSON
// or no array, or that of each, which ends it.
func Elements(raw []byte, each func(value []byte) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true))
	switch t, err := d.ReadToken(); {
	case err != nil:
		return notJSON(err)
	case t.Kind() != '[':
		return errors.New("it is not a JSON array")
	}
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		end := int(d.InputOffset())
		if err := each(raw[end-len(v) : end : end]); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return notJSON(err)
	}
	return nil
}

// notJSON keeps of an error what does not depend on how the decoder reads.
func notJSON(err error) error {
	var wrong *jsontext.SyntacticError
	if errors.As(err, &wrong) {
		return fmt.Errorf("it is not JSON (at byte %d)", wrong.ByteOffset)
	}
	return errors.New("it is not JSON, or ends too early")
}

// Text returns the string that a value is; false if it is something else.
func Text(value []byte) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return string(text), err == nil
}

// Integer returns the integer that a value is; false if it is something else.
func Integer(value []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(value[:min(len(value), 24)]), 10, 64)
	return n, err == nil && len(value) <= 24
}

// OCSF returns the time of an event that is OCSF already, in milliseconds since the epoch; false for anything else.
func OCSF(raw []byte) (ms int64, ok bool) {
	var class, timed bool
	err := Members(raw, func(name string, value []byte) error {
		switch name {
		case "class_uid":
			_, class = Integer(value)
		case "time":
			ms, timed = Integer(value)
		}
		return nil
	})
	return ms, err == nil && class && timed
}

// maxUID bounds a uid that is a text of others, in bytes; see event.Parser.
const maxUID = 512

// UID returns a uid for an event that its source tells apart by these parts. It is the parts with spaces between
// them, if that is clear and short, else a hash of them.
func UID(parts ...string) string {
	text := strings.Join(parts, " ")
	if len(text) <= maxUID && strings.Count(text, " ") == len(parts)-1 {
		return text
	}
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d %s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// WithUID appends an event, an object of at least one member, and gives it a uid if it has none. All else stays byte
// for byte.
func WithUID(dst, raw []byte, uid string) []byte {
	return addUID(append(dst, bytes.Trim(raw, " \t\r\n")...), len(dst), uid)
}

// addUID gives the event behind start in dst a uid, unless it has one or uid is empty.
func addUID(dst []byte, start int, uid string) []byte {
	if uid == "" {
		return dst
	}
	raw := dst[start:]
	begin, end := 0, 0 // of its metadata
	err := places(raw, func(name string, s, e int) error {
		if name == "metadata" {
			begin, end = s, e
		}
		return nil
	})
	if err != nil {
		return dst
	}
	member := String([]byte(`"uid":`), uid)
	if end == 0 {
		member = append(append([]byte(`,"metadata":{`), member...), '}')
		return slices.Insert(dst, len(dst)-1, member...)
	}
	has, empty := false, true
	if Members(raw[begin:end], func(name string, _ []byte) error {
		has, empty = has || name == "uid", false
		return nil
	}) != nil || has {
		return dst
	}
	if !empty {
		member = append([]byte(","), member...)
	}
	return slices.Insert(dst, start+end-1, member...) // before the bracket that ends the metadata
}
