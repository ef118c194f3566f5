package event

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed ocsf/classes.json
var classesJSON []byte

// schema is the part of OCSF 1.8.0 that stream processing meets (https://schema.ocsf.io), by the names of OCSF.
type schema struct {
	Classes map[string]shape `json:"classes"`
	Objects map[string]shape `json:"objects"`
}

// shape is a class of events or a type of objects.
type shape struct {
	ClassUID    int64                `json:"class_uid"`
	ClassName   string               `json:"class_name"`
	CategoryUID int64                `json:"category_uid"`
	Attributes  map[string]attribute `json:"attributes"`
	Constraints map[string][]string  `json:"constraints"`
}

type attribute struct {
	Type        string            `json:"type"`
	Requirement string            `json:"requirement"`
	Array       bool              `json:"array"`
	Enum        map[string]string `json:"enum"`
}

var ocsf = sync.OnceValues(func() (*schema, error) {
	s := new(schema)
	if err := json.Unmarshal(classesJSON, s); err != nil {
		return nil, fmt.Errorf("the OCSF classes that are part of this program: %w", err)
	}
	return s, nil
})

// Conform returns in what an event that was recorded departs from its OCSF class, as sentences in the order of the
// attributes' names; none if it conforms. Attributes that the class does not have are passed over: profiles and
// extensions add such. It is an error if the line is not JSON.
func Conform(line []byte) ([]string, error) {
	s, err := ocsf()
	if err != nil {
		return nil, err
	}
	var event map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber() // keeps integers of 64 bits whole
	if err := d.Decode(&event); err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	uid, ok := integer(event["class_uid"])
	switch {
	case event["class_uid"] == nil:
		return []string{"class_uid is missing"}, nil
	case !ok:
		return []string{"class_uid must be an integer"}, nil
	}
	for _, class := range s.Classes {
		if class.ClassUID == uid {
			return append(s.checkObject("", class, event), class.checkNumbers(event)...), nil
		}
	}
	return []string{fmt.Sprintf("class_uid %d is none of the classes that are known here", uid)}, nil
}

// checkNumbers checks the two numbers that follow from the class.
func (class shape) checkNumbers(event map[string]any) (warnings []string) {
	if got, ok := integer(event["category_uid"]); ok && got != class.CategoryUID {
		warnings = append(warnings, fmt.Sprintf("category_uid is %d, that of %s is %d", got, class.ClassName, class.CategoryUID))
	}
	activity, known := integer(event["activity_id"])
	if got, ok := integer(event["type_uid"]); ok && known && got != class.ClassUID*100+activity {
		warnings = append(warnings, fmt.Sprintf("type_uid is %d, class_uid and activity_id make it %d", got, class.ClassUID*100+activity))
	}
	return warnings
}

// checkObject checks an object; path is what its attributes' names are written behind.
func (s *schema) checkObject(path string, of shape, object map[string]any) (warnings []string) {
	for name, a := range of.Attributes {
		value, ok := object[name]
		switch {
		case ok:
			warnings = append(warnings, s.checkAttribute(path+name, a, value)...)
		case a.Requirement == "required":
			warnings = append(warnings, path+name+" is missing")
		}
	}
	slices.Sort(warnings)
	present := func(name string) bool { return object[name] != nil }
	if names := of.Constraints["at_least_one"]; len(names) > 0 && !slices.ContainsFunc(names, present) {
		where := "the event"
		if path != "" {
			where = strings.TrimSuffix(path, ".")
		}
		warnings = append(warnings, fmt.Sprintf("%s needs at least one of %s", where, strings.Join(names, ", ")))
	}
	return warnings
}

func (s *schema) checkAttribute(path string, a attribute, value any) (warnings []string) {
	if !a.Array {
		return s.checkValue(path, a, value)
	}
	list, ok := value.([]any)
	if !ok {
		return []string{path + " must be an array"}
	}
	for i, v := range list {
		warnings = append(warnings, s.checkValue(fmt.Sprintf("%s[%d]", path, i), a, v)...)
	}
	return warnings
}

func (s *schema) checkValue(path string, a attribute, value any) []string {
	if object, isObject := value.(map[string]any); isObject && !strings.HasSuffix(a.Type, "_t") {
		return s.checkObject(path+".", s.Objects[a.Type], object) // of a type that is not known: anything
	}
	text, isText := value.(string)
	must := ""
	switch a.Type {
	case "json_t":
	case "boolean_t":
		if _, ok := value.(bool); !ok {
			must = "true or false"
		}
	case "float_t":
		if _, ok := value.(json.Number); !ok {
			must = "a number"
		}
	case "integer_t", "long_t", "timestamp_t", "port_t":
		if n, ok := integer(value); !ok {
			must = "an integer"
		} else if a.Type == "port_t" && (n < 0 || n > math.MaxUint16) {
			must = "from 0 to 65535"
		} else if !a.allows(path, strconv.FormatInt(n, 10)) {
			return []string{fmt.Sprintf("%s has no value %d", path, n)}
		}
	case "ip_t":
		if _, err := netip.ParseAddr(text); err != nil {
			must = "an IP address"
		}
	default:
		if !strings.HasSuffix(a.Type, "_t") {
			must = "an object"
		} else if !isText {
			must = "a string"
		} else if !a.allows(path, text) {
			return []string{fmt.Sprintf("%s has no value %q", path, text)}
		}
	}
	if must != "" {
		return []string{path + " must be " + must}
	}
	return nil
}

// allows tells whether a value is one of those that the attribute may have. The lists of class_uid and category_uid are
// the base event's in every class, so Conform compares those numbers itself.
func (a attribute) allows(path, value string) bool {
	_, listed := a.Enum[value]
	return listed || len(a.Enum) == 0 || path == "class_uid" || path == "category_uid"
}

func integer(value any) (int64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}
