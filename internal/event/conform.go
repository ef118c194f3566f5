package event

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed ocsf/classes.json
var classesJSON []byte

// schema is the part of OCSF 1.8.0 that stream processing meets (https://schema.ocsf.io).
type schema struct {
	Classes map[string]kind `json:"classes"`
	Objects map[string]kind `json:"objects"`
}

type kind struct {
	ClassUID    int64                `json:"class_uid"`
	ClassName   string               `json:"class_name"`
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
		return nil, fmt.Errorf("embedded OCSF classes: %w", err)
	}
	return s, nil
})

// Conform returns how a line deviates from its OCSF class, as sentences; none if it conforms, or if what it deviates in
// is beyond the classes that stream processing meets.
func Conform(line []byte) ([]string, error) {
	s, err := ocsf()
	if err != nil {
		return nil, err
	}
	var event map[string]any
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.UseNumber()
	if err := d.Decode(&event); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	uid, ok := integer(event["class_uid"])
	if !ok {
		return []string{"class_uid is missing"}, nil
	}
	for _, class := range s.Classes {
		if class.ClassUID == uid {
			warnings := s.check("", class, event)
			slices.Sort(warnings)
			return append(warnings, checkTypeUID(event, uid)...), nil
		}
	}
	return []string{fmt.Sprintf("class_uid %d is not a class that stream processing audits", uid)}, nil
}

// checkTypeUID checks the two numbers that follow from others.
func checkTypeUID(event map[string]any, class int64) (warnings []string) {
	activity, _ := integer(event["activity_id"])
	if got, ok := integer(event["type_uid"]); ok && got != class*100+activity {
		warnings = append(warnings, fmt.Sprintf("type_uid is %d, class_uid and activity_id make it %d", got, class*100+activity))
	}
	if got, ok := integer(event["category_uid"]); ok && got != class/1000 {
		warnings = append(warnings, fmt.Sprintf("category_uid is %d, class_uid makes it %d", got, class/1000))
	}
	return warnings
}

func (s *schema) check(path string, k kind, object map[string]any) (warnings []string) {
	for name, a := range k.Attributes {
		value, ok := object[name]
		if !ok {
			if a.Requirement == "required" {
				warnings = append(warnings, path+name+" is missing")
			}
			continue
		}
		warnings = append(warnings, s.checkAttribute(path+name, a, value)...)
	}
	if names := k.Constraints["at_least_one"]; len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return object[n] != nil }) {
		warnings = append(warnings, fmt.Sprintf("%sat least one of %s is needed", path, strings.Join(names, ", ")))
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
		warnings = append(warnings, s.checkValue(path+"["+strconv.Itoa(i)+"]", a, v)...)
	}
	return warnings
}

func (s *schema) checkValue(path string, a attribute, value any) []string {
	switch a.Type {
	case "boolean_t":
		if _, ok := value.(bool); !ok {
			return []string{path + " must be true or false"}
		}
	case "integer_t", "long_t", "port_t", "timestamp_t":
		n, ok := integer(value)
		switch {
		case !ok:
			return []string{path + " must be an integer"}
		case a.Type == "port_t" && (n < 0 || n > math.MaxUint16):
			return []string{path + " must be a port"}
		case len(a.Enum) > 0 && a.Enum[strconv.FormatInt(n, 10)] == "" && !strings.HasSuffix(path, "category_uid") && !strings.HasSuffix(path, "class_uid"):
			return []string{fmt.Sprintf("%s has no value %d", path, n)}
		}
	case "float_t", "json_t":
	default:
		if strings.HasSuffix(a.Type, "_t") {
			if _, ok := value.(string); !ok {
				return []string{path + " must be a string"}
			}
			return nil
		}
		object, ok := value.(map[string]any)
		if !ok {
			return []string{path + " must be an object"}
		}
		if k, known := s.Objects[a.Type]; known {
			return s.check(path+".", k, object)
		}
	}
	return nil
}

func integer(value any) (int64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}
