package rulefile

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/alert/rule"
)

const two = `# what nobody should do
name: many
kind: threshold
query: "outcome:failure"
count: 5
by: [from, who]
within: 10m
---
name: silence
kind: absence
fewerThan: 1
within: 1h
`

func TestFilesHaveSeveralRules(t *testing.T) {
	all, err := Read([]byte(two))
	if err != nil {
		t.Fatal(err)
	}
	want := []rule.Definition{{Name: "many", Kind: rule.Threshold, Query: "outcome:failure", Count: 5,
		By: []string{"from", "who"}, Within: rule.Duration(10 * time.Minute)},
		{Name: "silence", Kind: rule.Absence, FewerThan: 1, Within: rule.Duration(time.Hour)}}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("%+v", all)
	}
}

func TestWrongFilesAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"name: [":   "yaml",
		"- name: x": "cannot unmarshal",
		strings.Replace(two, "count", "cuont", 1):   `rule 1: read a rule: json: unknown field "cuont"`,
		strings.Replace(two, "1h", "1 hour", 1):     "rule 2",
		strings.Replace(two, "absence", "quiet", 1): "rule 2: kind",
		strings.Repeat("---\nname: x\n", 200):       "documents",
		strings.Repeat("# x\n", 1<<20):              "bytes",
		"name: *a":                                  "unknown anchor",
	} {
		if _, err := Read([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %q", text, err, says)
		}
	}
}

// The change makes one rule the other, and the difference names just what changes.
func TestChangeAndDifference(t *testing.T) {
	all, err := Read([]byte(two))
	if err != nil {
		t.Fatal(err)
	}
	before, after := all[0], all[0]
	after.By, after.Count, after.Description = nil, 6, "x"
	lines, err := Diff(&before, &after)
	want := []string{`+ description: "x"`, `- by: ["from","who"]`, "- count: 5", "+ count: 6"}
	if err != nil || !slices.Equal(lines, want) {
		t.Errorf("%q, %v, want %q", lines, err, want)
	}
	body, err := Change(&before, &after)
	if err != nil || string(body["by"]) != "null" || string(body["count"]) != "6" {
		t.Errorf("%v, %v", body, err)
	}
	if lines, err := Diff(&after, &after); err != nil || len(lines) > 0 {
		t.Errorf("%q, %v", lines, err)
	}
}

// No attribute of a rule is left out of a difference.
func TestDifferenceKnowsEachAttribute(t *testing.T) {
	of := reflect.TypeFor[rule.Definition]()
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !slices.Contains(attributes, name) {
			t.Errorf("%s is left out", name)
		}
	}
	if len(attributes) != of.NumField() {
		t.Errorf("%d attributes, %d fields", len(attributes), of.NumField())
	}
}

// Whatever a file holds, it is refused or is a rule that is right, and can be read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(two))
	f.Add([]byte("name: &a x\nby: [*a, *a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := Read(data)
		if err != nil {
			return
		}
		for _, d := range all {
			text, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			again, err := rule.Decode(text)
			if err != nil || !d.SameLook(&again) || len(again.Check()) > 0 {
				t.Errorf("%s: %v", text, err)
			}
		}
	})
}
