package mongodb

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/event"
)

func sampled(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// Each documented atype, and each odd form, becomes the event of its class, and all of the line stays.
func TestLinesOfAuditLogsBecomeOCSF(t *testing.T) {
	lines, events := sampled(t, "mongod-atypes.ndjson"), sampled(t, "mongod-atypes.ocsf.ndjson")
	for i, line := range lines {
		made, err := Audit{}.Map(nil, []byte(line), "")
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		var got, want, sent map[string]any
		for text, to := range map[string]*map[string]any{string(made): &got, events[i]: &want, line: &sent} {
			if err := json.Unmarshal([]byte(text), to); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		if !reflect.DeepEqual(got["unmapped"], any(sent)) {
			t.Errorf("%s lacks something of %s", made, line)
		}
		delete(got, "unmapped")
		delete(want, "unmapped")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("line %d: %s\nbecame %s\nwant   %s", i+1, line, made, events[i])
		}
		var p event.Parser
		p.MaxBytes = 1 << 20
		out, _, err := p.Append(nil, made, event.Origin{By: "x", Received: time.UnixMilli(1795159000000)})
		if err != nil {
			t.Errorf("%s: %v", made, err)
			continue
		}
		warnings, err := event.Conform(out)
		if len(warnings) == 1 && strings.HasSuffix(fmt.Sprint(warnings[0]), "the OCSF classes that weir knows") {
			continue // weir checks none of 1007, 5001 and 5002.
		}
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", made, warnings, err)
		}
	}
}
