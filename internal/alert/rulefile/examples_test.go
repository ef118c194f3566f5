package rulefile

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/event"
)

const examples = "../../../deploy/alerts/"

// week is the days in which the examples happen; earlier events say what is not new.
var week = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// fired returns the alerts that a rule has on the events of a file.
func fired(t *testing.T, d rule.Definition, name string) (all []rule.Alert) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := rule.NewReplay(d, week)
	if err != nil {
		t.Fatal(err)
	}
	var parser event.Parser
	lines := bufio.NewScanner(bytes.NewReader(data))
	for i := int64(0); lines.Scan(); i++ {
		read, err := parser.Entry(append(bytes.Clone(lines.Bytes()), '\n'))
		if err != nil {
			t.Fatalf("%s, line %d: %v", name, i+1, err)
		}
		alerts, err := p.Event(rule.Event{Time: read.Time, Log: "l", Index: i, Line: lines.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, alerts...)
	}
	return append(all, p.Until(week.AddDate(0, 0, 7).UnixMilli())...)
}

// Each rule in deploy/alerts fires once on the events that it is for, and not on others that are like them.
func TestExamplesFireWhenTheyShould(t *testing.T) {
	files, err := filepath.Glob(examples + "*.yaml")
	if err != nil || len(files) < 12 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		all, err := ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if len(all) != 1 || all[0].Name != name || all[0].Description == "" || all[0].Severity == "" {
			t.Errorf("%s: it has not one rule of this name, with a description and a severity", file)
			continue
		}
		if alerts := fired(t, all[0], examples+"testdata/"+name+".fires.ndjson"); len(alerts) != 1 {
			t.Errorf("%s fires %d times: %+v", name, len(alerts), alerts)
		}
		if alerts := fired(t, all[0], examples+"testdata/"+name+".quiet.ndjson"); len(alerts) > 0 {
			t.Errorf("%s fires without a reason: %+v", name, alerts)
		}
	}
}
