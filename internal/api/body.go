package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/charset"
)

// maxBody bounds the body of a request without events, in bytes.
const maxBody = 1 << 20

// decode decodes a JSON body. It ignores unknown attributes, as Atlas does.
func decode[T any](c *call) (T, error) {
	var v T
	if !isJSON(c.r.Header.Get("Content-Type")) {
		return v, unsupportedType("Send the body as application/json, or as one of the media types of this resource.")
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxBody))
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return v, tooLarge("The body may have at most %d bytes.", maxBody)
	}
	if err != nil {
		return v, unreadable(err)
	}
	if data, err = charset.SkipMark(data); err != nil {
		return v, notJSON("The body could not be read: " + err.Error())
	}
	return unmarshal[T](data)
}

// unmarshal decodes JSON from a body.
func unmarshal[T any](data []byte) (T, error) {
	var v T
	err := unmarshalTo(data, &v)
	return v, err
}

// unmarshalTo decodes JSON from a body into v.
func unmarshalTo(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		name := wrong.Field
		if name == "" {
			name = "body"
		}
		return invalidAttributes(field{name, fmt.Sprintf("must be %s, not %s", article(wrong), wrong.Value)})
	case !utf8.Valid(data):
		return notJSON("The body is not UTF-8.")
	case err != nil:
		return notJSON("The body is not JSON: " + err.Error())
	}
	return nil
}

func notJSON(detail string) *problem {
	return &problem{status: 400, code: "INVALID_JSON", parameters: []any{}, detail: detail}
}

// article names a JSON type with its article, for messages.
func article(e *json.UnmarshalTypeError) string {
	switch kind := e.Type.Kind().String(); {
	case kind == "slice":
		return "an array"
	case kind == "struct" || kind == "map":
		return "an object"
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "int"):
		return "an integer"
	default:
		return "a string"
	}
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasPrefix(kind, mediaPrefix) &&
		strings.HasSuffix(kind, "+json"))
}

// checks collects the errors in a body.
type checks struct {
	fields  []field
	missing bool // whether all errors are missing attributes
}

// require adds an error if an attribute is missing. It returns the attribute, or its zero value.
func require[T any](k *checks, name string, v *T) T {
	if v == nil {
		k.missing = k.missing || len(k.fields) == 0
		k.fields = append(k.fields, field{name, "is missing"})
		v = new(T)
	}
	return *v
}

// check adds an error unless ok.
func (k *checks) check(ok bool, name, format string, args ...any) {
	if !ok {
		k.missing = false
		k.fields = append(k.fields, field{name, fmt.Sprintf(format, args...)})
	}
}

func (k *checks) err() error {
	switch {
	case len(k.fields) == 0:
		return nil
	case k.missing:
		p := invalid("Required attributes are missing: "+names(k.fields)+".", k.fields...)
		p.code = "MISSING_ATTRIBUTE"
		return p
	}
	return invalidAttributes(k.fields...)
}

func invalidAttributes(fields ...field) *problem {
	p := invalid("Attributes are invalid: "+names(fields)+".", fields...)
	p.code = "INVALID_ATTRIBUTE"
	return p
}
