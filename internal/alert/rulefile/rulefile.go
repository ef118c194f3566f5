// Package rulefile reads rules of alerts from files of YAML, and shows the differences of two rules.
package rulefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/weirlog/weir/internal/alert/rule"
)

// Limits of a file.
const (
	maxBytes = 1 << 20
	maxRules = 100
)

// ReadFile reads the rules of a file, which are documents of YAML.
func ReadFile(name string) ([]rule.Definition, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	all, err := Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

// Read reads rules from YAML. Each is checked.
func Read(data []byte) (all []rule.Definition, err error) {
	documents, err := Documents(data)
	if err != nil {
		return nil, err
	}
	for i, document := range documents {
		d, err := rule.Decode(document)
		if err == nil {
			if wrong := d.Check(); len(wrong) > 0 {
				err = &wrong[0]
			}
		}
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// Documents returns the documents of YAML as JSON.
func Documents(data []byte) (all []json.RawMessage, err error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxBytes)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var v map[string]any
		switch err := decoder.Decode(&v); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case v == nil:
			continue // an empty document
		}
		if len(all) == maxRules {
			return nil, fmt.Errorf("it has more than %d documents", maxRules)
		}
		document, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		all = append(all, document)
	}
}

// attributes are those of a rule, in the order in which they are shown.
var attributes = []string{"name", "description", "severity", "disabled", "kind", "query", "logs", "workspaces",
	"outside", "by", "count", "distinct", "within", "field", "notSeenFor", "fewerThan", "delay", "notify"}

// Diff returns the changes of a rule: for each attribute a line as it is ("- "), and one as it becomes ("+ "); none if
// the rules are the same. before is nil for a new rule.
func Diff(before, after *rule.Definition) ([]string, error) {
	old, err := values(before)
	if err != nil {
		return nil, err
	}
	now, err := values(after)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, name := range attributes {
		was, is := old[name], now[name]
		if string(was) == string(is) {
			continue
		}
		if was != nil {
			lines = append(lines, fmt.Sprintf("- %s: %s", name, was))
		}
		if is != nil {
			lines = append(lines, fmt.Sprintf("+ %s: %s", name, is))
		}
	}
	return lines, nil
}

// Change returns the body that changes a rule to another: null takes away what the other does not have.
func Change(before, after *rule.Definition) (map[string]json.RawMessage, error) {
	old, err := values(before)
	if err != nil {
		return nil, err
	}
	body, err := values(after)
	for name := range old {
		if body[name] == nil {
			body[name] = json.RawMessage("null")
		}
	}
	return body, err
}

// values returns the attributes that a rule has, as JSON.
func values(d *rule.Definition) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if d == nil {
		return all, nil
	}
	data, err := json.Marshal(d)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	return all, err
}
