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
	err := members(d, func(name string) (err error) {
		if !valueMembers[name] {
			return d.SkipValue()
		}
		dst, err = oneOf(d, dst[:start], name, depth) // The last one counts.
		return err
	})
	if len(dst) == start {
		dst = append(dst, "null"...)
	}
	return dst, err
}

// members calls each with the names of the members of an object that was opened. It leaves out members that are null:
// to the JSON of protobuf they are not set.
func members(d *jsontext.Decoder, each func(name string) error) error {
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return errShape
		}
		name := t.String()
		if d.PeekKind() == 'n' {
			err = d.SkipValue()
		} else {
			err = each(name)
		}
		if err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return errShape
	}
	return nil
}

// valueMembers are the members of an AnyValue. Others are of later versions of the protocol, which demands that they
// are ignored.
var valueMembers = map[string]bool{"stringValue": true, "boolValue": true, "intValue": true, "doubleValue": true,
	"arrayValue": true, "kvlistValue": true, "bytesValue": true}

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
	err := members(d, func(name string) (err error) {
		if name != "values" {
			return d.SkipValue()
		}
		dst, err = values(d, dst[:start], depth-1)
		return err
	})
	if len(dst) == start {
		dst = append(dst, none...)
	}
	return dst, err
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
	err := members(d, func(name string) (err error) {
		switch name {
		case "key":
			v, err := d.ReadValue()
			if err != nil || v.Kind() != '"' {
				return errShape
			}
			key, _ = connect.Text(v)
			return nil
		case "value":
			dst, err = anyValue(d, dst[:start], depth)
			return err
		}
		return d.SkipValue()
	})
	if err != nil {
		return dst, err
	}
	if len(dst) == start {
		dst = append(dst, "null"...)
	}
	return slices.Insert(dst, start, append(connect.String(nil, key), ':')...), nil
}
