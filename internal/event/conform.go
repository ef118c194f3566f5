package event

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed ocsf/classes.json
var classesJSON []byte

// schema is the part of OCSF 1.8.0 (https://schema.ocsf.io) that stream processing uses.
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

	names []string // of Attributes, sorted
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
	for _, shapes := range []map[string]shape{s.Classes, s.Objects} {
		for name, of := range shapes {
			of.names = slices.Sorted(maps.Keys(of.Attributes))
			shapes[name] = of
		}
	}
	return s, nil
})

// Bounds on the warnings of Conform for one event.
const (
	maxWarnings = 100
	maxQuoted   = 64 // bytes of a value
)

// Conform returns how a recorded event deviates from its OCSF class, as sentences in the order of the attributes'
// names: none if it conforms, and at most 100. Values that they quote are shortened. Attributes that the class does not
// have are ignored, since profiles and extensions add some. Conform returns an error if the line is not JSON.
func Conform(line []byte) ([]string, error) {
	s, err := ocsf()
	if err != nil {
		return nil, err
	}
	var event map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber() // keeps 64-bit integers exact
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
			c := check{schema: s}
			c.object("", class, event)
			c.numbers(class, event)
			return c.warnings, nil
		}
	}
	return []string{fmt.Sprintf("class_uid %d is not one of the OCSF classes that weir knows", uid)}, nil
}

// check collects the deviations of one event from its class.
type check struct {
	schema   *schema
	warnings []string
}

func (c *check) full() bool { return len(c.warnings) == maxWarnings }

func (c *check) warn(format string, args ...any) {
	if !c.full() {
		c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
	}
}

// numbers checks the two numbers that the class determines.
func (c *check) numbers(class shape, event map[string]any) {
	if got, ok := integer(event["category_uid"]); ok && got != class.CategoryUID {
		c.warn("category_uid is %d, but that of %s is %d", got, class.ClassName, class.CategoryUID)
	}
	activity, known := integer(event["activity_id"])
	if got, ok := integer(event["type_uid"]); ok && known && got != class.ClassUID*100+activity {
		c.warn("type_uid is %d, but class_uid and activity_id make it %d", got, class.ClassUID*100+activity)
	}
}

// object checks an object. path is put before the names of its attributes.
func (c *check) object(path string, of shape, object map[string]any) {
	for _, name := range of.names {
		value, ok := object[name]
		switch a := of.Attributes[name]; {
		case c.full():
			return
		case ok:
			c.attribute(path+name, a, value)
		case a.Requirement == "required":
			c.warn("%s%s is missing", path, name)
		}
	}
	present := func(name string) bool { return object[name] != nil }
	if names := of.Constraints["at_least_one"]; len(names) > 0 && !slices.ContainsFunc(names, present) {
		where := "the event"
		if path != "" {
			where = strings.TrimSuffix(path, ".")
		}
		c.warn("%s needs at least one of %s", where, strings.Join(names, ", "))
	}
}

func (c *check) attribute(path string, a attribute, value any) {
	if !a.Array {
		c.value(path, a, value)
		return
	}
	list, ok := value.([]any)
	if !ok {
		c.warn("%s must be an array", path)
	}
	for i, v := range list {
		if c.full() {
			return
		}
		c.value(fmt.Sprintf("%s[%d]", path, i), a, v)
	}
}

func (c *check) value(path string, a attribute, value any) {
	if object, isObject := value.(map[string]any); isObject && !strings.HasSuffix(a.Type, "_t") {
		c.object(path+".", c.schema.Objects[a.Type], object) // an object of an unknown type may hold anything
		return
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
			c.warn("%s has no value %d", path, n)
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
			c.warn("%s has no value %q", path, shortened([]byte(text)))
		}
	}
	if must != "" {
		c.warn("%s must be %s", path, must)
	}
}

// allows tells whether the attribute may have a value. OCSF lists all classes and categories for class_uid and
// category_uid in every class, so Conform compares these two numbers itself.
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
