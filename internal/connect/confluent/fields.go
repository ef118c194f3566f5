package confluent

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/weirlog/weir/internal/connect"
)

// object is the members of an object, by their names in the newer spelling.
type object map[string][]byte

// maxMembers bounds how many members of an object are looked at. The first ones count.
const maxMembers = 200

// members returns the members of an object.
func members(raw []byte) (object, error) {
	all := object{}
	err := connect.Members(raw, func(name string, value []byte) error {
		if name = camel(name); len(all) < maxMembers && all[name] == nil {
			all[name] = value
		}
		return nil
	})
	return all, err
}

// camel returns a name in the newer spelling: method_name is methodName.
func camel(name string) string {
	first, rest, ok := strings.Cut(name, "_")
	if !ok || first == "" || rest == "" || len(name) > 100 {
		return name
	}
	for part := range strings.SplitSeq(rest, "_") {
		if part != "" {
			first += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return first
}

// object returns a member that is an object; an empty one if it is not.
func (o object) object(name string) object {
	if value := o[name]; len(value) > 0 && value[0] == '{' {
		all, _ := members(value) // It is part of what has been read.
		return all
	}
	return nil
}

// text returns a member that is a text, or "".
func (o object) text(name string) string {
	text, _ := connect.Text(o[name])
	return text
}

// first returns the first object of a list.
func first(list []byte) (found object) {
	if list = bytes.TrimSpace(list); len(list) == 0 || list[0] != '[' {
		return nil
	}
	_ = connect.Elements(list, func(value []byte) error { // It is part of what has been read.
		if found == nil {
			found, _ = members(value)
		}
		return nil
	})
	return found
}

// firstText returns a text, or the first one of a list.
func (o object) firstText(name string) string {
	if text := o.text(name); text != "" || len(o[name]) == 0 || o[name][0] != '[' {
		return text
	}
	found := ""
	_ = connect.Elements(o[name], func(value []byte) error {
		if found == "" {
			found, _ = connect.Text(value)
		}
		return nil
	})
	return found
}

// crn returns the part of a Confluent resource name, such as "environment"; empty if it has none.
func crn(name, part string) string {
	for segment := range strings.SplitSeq(name, "/") {
		if key, value, ok := strings.Cut(segment, "="); ok && key == part {
			return value
		}
	}
	return ""
}

// last returns the kind and the value of the last part of a Confluent resource name.
func last(name string) (kind, value string) {
	kind, value, ok := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], "=")
	if !ok {
		return "", ""
	}
	return kind, value
}

// address returns the address and port in a text such as "/203.0.113.7:5000"; an invalid one if there is none.
func address(text string) (netip.Addr, uint16) {
	text = strings.TrimPrefix(text, "/")
	if a, err := netip.ParseAddr(text); err == nil {
		return a.WithZone(""), 0
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.Addr{}, 0
	}
	return a.Addr().WithZone(""), a.Port()
}
