package otlp

import (
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/connect"
)

// ErrJSON is returned (wrapped) for bytes that are not a request in JSON.
var ErrJSON = errors.New("the body is not an export request of OTLP in JSON")

// JSON calls each with the log records of an export request in JSON, as Protobuf does. An error is ErrJSON (wrapped),
// or that of each, which ends it.
func JSON(body []byte, most int, each func(record []byte, size int) error) error {
	var raw []byte
	return lists(body, "resourceLogs", func(resourceLogs []byte) error {
		resource := []byte("{}")
		if err := member(resourceLogs, "resource", &resource); err != nil {
			return err
		}
		return lists(resourceLogs, "scopeLogs", func(scopeLogs []byte) error {
			scope := []byte("{}")
			if err := member(scopeLogs, "scope", &scope); err != nil {
				return err
			}
			return lists(scopeLogs, "logRecords", func(record []byte) error {
				size := len(resource) + len(scope) + len(record)
				if size > most {
					return each(nil, size)
				}
				raw = join(raw[:0], resource, scope, record)
				return each(raw, size)
			})
		})
	})
}

func wrongJSON(err error) error { return fmt.Errorf("%w: %w", ErrJSON, err) }

// member sets to to the value of a member, if the object has it.
func member(object []byte, name string, to *[]byte) error {
	err := connect.Members(object, func(n string, value []byte) error {
		if n == name && string(value) != "null" {
			*to = value
		}
		return nil
	})
	if err != nil {
		return wrongJSON(err)
	}
	return nil
}

// lists calls each with the elements of the list that an object has as a member.
func lists(object []byte, name string, each func([]byte) error) error {
	var list []byte
	if err := member(object, name, &list); err != nil || list == nil {
		return err
	}
	if list[0] != '[' {
		return fmt.Errorf("%w: %s is not a list", ErrJSON, name)
	}
	return connect.Elements(list, each)
}

// join returns a record in the form that Mapping takes.
func join(dst, resource, scope, record []byte) []byte {
	dst = append(append(dst, `{"resource":`...), resource...)
	dst = append(append(dst, `,"scope":`...), scope...)
	return append(append(append(dst, `,"logRecord":`...), record...), '}')
}
