package otlp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weirlog/weir/internal/connect"
)

// appendPlain appends a value of OTLP's JSON as plain JSON: {"stringValue":"x"} becomes "x", and a list of keys and
// values an object.
func appendPlain(dst, value []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true))
	return anyValue(d, dst, maxDepth)
}

// appendAttributes appends a list of keys and values as an object.
func appendAttributes(dst, list []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(list), jsontext.AllowDuplicateNames(true))
	return keyValues(d, dst, maxDepth)
}

var errShape = errors.New("a value does not have the form of OTLP's JSON")

// open reads the token that opens an object or a list.
func open(d *jsontext.Decoder, kind jsontext.Kind) error {
	if t, err := d.ReadToken(); err != nil || t.Kind() != kind {
		return errShape
	}
	return nil
}

func anyValue(d *jsontext.Decoder, dst []byte, depth int) ([]byte, error) {
	if depth == 0 {
		return dst, fmt.Errorf("its values are nested deeper than %d", maxDepth)
	}
	if d.PeekKind() == 'n' {
		return append(dst, "null"...), d.SkipValue()
	}
	if err := open(d, '{'); err != nil {
		return dst, err
	}
	start := len(dst)
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return dst, errShape
		}
		if dst, err = oneOf(d, dst[:start], name.String(), depth); err != nil { // The last one counts.
			return dst, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return dst, errShape
	}
	if len(dst) == start {
		dst = append(dst, "null"...)
	}
	return dst, nil
}

func oneOf(d *jsontext.Decoder, dst []byte, name string, depth int) ([]byte, error) {
	switch name {
	case "arrayValue":
		return within(d, dst, depth, elements, "[]")
	case "kvlistValue":
		return within(d, dst, depth, keyValues, "{}")
	}
	v, err := d.ReadValue()
	if err != nil {
		return dst, errShape
	}
	switch kind := v.Kind(); {
	case name == "stringValue" && kind == '"', name == "bytesValue" && kind == '"',
		name == "boolValue" && (kind == 't' || kind == 'f'), name == "doubleValue" && (kind == '0' || kind == '"'):
		return append(dst, v...), nil
	case name == "intValue":
		n, ok := connect.Whole(v)
		if !ok {
			return dst, errShape
		}
		return strconv.AppendInt(dst, n, 10), nil
	}
	return dst, errShape
}

// within reads an object with the member values, which an empty list does not have.
func within(d *jsontext.Decoder, dst []byte, depth int, values func(*jsontext.Decoder, []byte, int) ([]byte,
	error), none string) ([]byte, error) {
	if err := open(d, '{'); err != nil {
		return dst, err
	}
	start := len(dst)
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil || name.String() != "values" {
			return dst, errShape
		}
		if dst, err = values(d, dst[:start], depth-1); err != nil {
			return dst, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return dst, errShape
	}
	if len(dst) == start {
		dst = append(dst, none...)
	}
	return dst, nil
}

func elements(d *jsontext.Decoder, dst []byte, depth int) ([]byte, error) {
	if err := open(d, '['); err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for first := true; d.PeekKind() != ']'; first = false {
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = anyValue(d, dst, depth); err != nil {
			return dst, err
		}
	}
	_, err := d.ReadToken()
	return append(dst, ']'), err
}

func keyValues(d *jsontext.Decoder, dst []byte, depth int) ([]byte, error) {
	if err := open(d, '['); err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	for first := true; d.PeekKind() != ']'; first = false {
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = keyValue(d, dst, depth); err != nil {
			return dst, err
		}
	}
	_, err := d.ReadToken()
	return append(dst, '}'), err
}

// keyValue appends a member of an object. Its value may stand before its key.
func keyValue(d *jsontext.Decoder, dst []byte, depth int) ([]byte, error) {
	if err := open(d, '{'); err != nil {
		return dst, err
	}
	key, start := "", len(dst)
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return dst, errShape
		}
		switch t.String() {
		case "key":
			v, err := d.ReadValue()
			if err != nil || v.Kind() != '"' {
				return dst, errShape
			}
			key, _ = connect.Text(v)
		case "value":
			if dst, err = anyValue(d, dst[:start], depth); err != nil {
				return dst, err
			}
		default:
			if err := d.SkipValue(); err != nil {
				return dst, errShape
			}
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return dst, errShape
	}
	if len(dst) == start {
		dst = append(dst, "null"...)
	}
	return slices.Insert(dst, start, append(connect.String(nil, key), ':')...), nil
}
