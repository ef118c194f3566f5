package cloudevents

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/event"
)

var received = time.UnixMilli(1_795_158_070_000)

const confluent = `{"specversion":"1.0","id":"5c8e1f0a","source":"crn://confluent.cloud/",` +
	`"type":"io.confluent.cloud/request",` +
	`"subject":"crn://confluent.cloud/organization=1","time":"2026-11-20T07:01:02.345678901Z","datacontenttype":` +
	`"application/json","data":{"methodName":"DeleteStatement","result":{"status":"SUCCESS"}},"traceparent":"00-1"}`

func mapped(raw string) (string, error) {
	m := Mapping{Delivery: connect.Delivery{Log: "a", Received: received}}
	made, err := m.Map([]byte(raw))
	return string(made), err
}

func line(t testing.TB, made string) (string, event.Fields) {
	t.Helper()
	var p event.Parser
	l, f, err := p.Append(nil, []byte(made), event.Origin{By: "x", Received: received})
	if err != nil {
		t.Fatalf("%s: %v", made, err)
	}
	return string(l), f
}

func TestEventKeepsAllOfACloudEvent(t *testing.T) {
	made, err := mapped(confluent)
	if err != nil {
		t.Fatal(err)
	}
	l, f := line(t, made)
	if f.Time != 1795158062345 || string(f.UID) != "crn://confluent.cloud/ 5c8e1f0a" {
		t.Errorf("%d %s", f.Time, f.UID)
	}
	if !strings.Contains(l, `"cloudevents":`+confluent) {
		t.Errorf("not all is there: %s", l)
	}
	if warnings, err := event.Conform([]byte(l)); err != nil || len(warnings) > 0 {
		t.Errorf("%v %v", warnings, err)
	}
}

func TestDataThatIsOCSFStays(t *testing.T) {
	const ocsf = `{"class_uid":3002,"time":1795158062345,"activity_id":1.0,"metadata":{"version":"1.1.0"}}`
	made, err := mapped(`{"specversion":"1.0","id":"i","source":"s","type":"t","data":` + ocsf + `}`)
	if err != nil || made != strings.Replace(ocsf, `"1.1.0"}`, `"1.1.0","uid":"s i"}`, 1) {
		t.Errorf("%s %v", made, err)
	}
	own := strings.Replace(ocsf, `"version"`, `"uid":"own","version"`, 1)
	made, err = mapped(`{"specversion":"1.0","id":"i","source":"s","type":"t","data":` + own + `}`)
	if err != nil || made != own {
		t.Errorf("%s %v", made, err)
	}
}

func TestWhatIsNoCloudEventIsNamed(t *testing.T) {
	const begun = `{"specversion":"1.0","id":"i","source":"s","type":`
	for raw, why := range map[string]string{
		`7`:          "not a JSON object",
		`{`:          "not JSON",
		`{}`:         "missing",
		"":           "not JSON",
		"\xff":       "not JSON",
		begun + `7}`: "type is not a string",
		`{"specversion":"0.3","id":"i","source":"s","type":"t"}`: "specversion",
		begun + `"t","time":"yesterday"}`:                        "RFC 3339",
		begun + `"t","time":"1999-01-01T00:00:00Z"}`:             "before the year 2008",
		begun + `"t","time":"2099-01-01T00:00:00Z"}`:             "in the future",
		begun + `"t","data":{"class_uid":0,"time":1}}`:           "before the year 2008",
		begun + `"t","time":"2026-11-20T07:01:02Z"} {"a":1}`:     "after its end",
	} {
		if made, err := mapped(raw); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %s %v, want %q", raw, made, err, why)
		}
	}
}

// Whatever arrives, what the mapping makes of it is an event that is taken, and the same again when it arrives later;
// or an event that keeps what arrived.
func FuzzMap(f *testing.F) {
	f.Add(confluent)
	f.Add(`{"specversion":"1.0","id":"i","source":"s","type":"t",` +
		`"data":{"class_uid":0,"time":1795158062345,"metadata":{}}}`)
	f.Add(`{"specversion":"1.0","id":"i","source":"s","type":"t","data_base64":"AA==","a":1,"a":2}`)
	f.Fuzz(func(t *testing.T, raw string) {
		if len(raw) > 1<<16 {
			return
		}
		first := connect.NewFirst(10)
		var before string
		for _, later := range []time.Duration{0, time.Minute} {
			m := Mapping{Delivery: connect.Delivery{Log: "a", Received: received.Add(later), First: first}}
			made, err := m.Map([]byte(raw))
			if len(made) > 8*len(raw)+4096 {
				t.Fatalf("%d bytes become %d", len(raw), len(made))
			}
			p := event.Parser{Limits: event.Limits{MaxBytes: 1 << 20}}
			if err == nil {
				_, _, err = p.Append(nil, made, event.Origin{Received: received.Add(later)})
			}
			if err != nil {
				made = m.Keep([]byte(raw), err.Error())
				if _, _, err := p.Append(nil, made, event.Origin{Received: received.Add(later)}); err != nil {
					t.Fatalf("%s: %v", made, err)
				}
				made = nil
			}
			if later > 0 && before != string(made) {
				t.Fatalf("%s\nand later\n%s", before, made)
			}
			before = string(made)
		}
	})
}

func ExampleMapping_Map() {
	m := Mapping{Delivery: connect.Delivery{Received: received}}
	made, _ := m.Map([]byte(`{"specversion":"1.0","id":"7","source":"/robots","type":"robot.fell",` +
		`"time":"2026-11-20T07:01:02Z"}`))
	var e struct {
		Time    int64
		Message string
	}
	_ = json.Unmarshal(made, &e)
	fmt.Println(e.Time, e.Message)
	// Output: 1795158062000 robot.fell
}
