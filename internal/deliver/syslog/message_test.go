package syslog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leodido/go-syslog/v4/rfc5424"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/deliver"
)

// drawText draws texts that formats have trouble with.
func drawText(t *rapid.T, label string) string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a=b|c\\d\"]e\nf\r", "é€😀", " ", "\u2028",
		"\xff\xfe", strings.Repeat("é", 5000), strings.Repeat(`"`, 5000), strings.Repeat("\u0001", 3000)})).Draw(t, label)
}

func drawEvent(t *rapid.T) (*deliver.Event, map[string]any) {
	event := map[string]any{"time": 1763978401002, "severity_id": rapid.IntRange(-1, 99).Draw(t, "severity"),
		"class_uid": 3004, "message": drawText(t, "message"), "api": map[string]any{"operation": drawText(t, "what")},
		"actor":        map[string]any{"user": map[string]any{"name": drawText(t, "who")}},
		"entity":       map[string]any{"name": drawText(t, "target")},
		"src_endpoint": map[string]any{"ip": rapid.SampledFrom([]string{"192.0.2.7", "2001:db8::1", "host"}).Draw(t, "ip")}}
	line, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return &deliver.Event{Log: log, Name: drawText(t, "name"), Index: 7, Time: 1763978401002, Line: line}, event
}

// Every message is one of RFC 5424, keeps its limit, and has the event, or a reference that leads to it.
func TestMessagesKeepTheLimit(t *testing.T) {
	parser := rfc5424.NewParser()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{leastMessage, 3000, usualMessage, mostMessage}).Draw(t, "most")
		e, _ := drawEvent(t)
		n := newEncoder(&Settings{Most: most, Format: JSON, Host: "weir", Number: exampleNumber})
		message := n.message(e)
		parsed, err := parser.Parse(message)
		if err != nil || len(message) > most {
			t.Fatalf("%d bytes, %v: %s", len(message), err, message)
		}
		m := parsed.(*rfc5424.SyslogMessage)
		if (*m.StructuredData)["weir@32473"]["id"] != e.ID() {
			t.Fatalf("%v", *m.StructuredData)
		}
		if len(e.Line) < most-500 && *m.Message != string(e.Line) {
			t.Fatalf("an event of %d bytes is cut: %s", len(e.Line), *m.Message)
		}
		if *m.Message == string(e.Line) {
			return
		}
		var reference struct {
			Weir struct {
				Cut    bool
				ID     string
				Bytes  int
				SHA256 string
			}
			Begins string
		}
		sum := sha256.Sum256(e.Line)
		if err := json.Unmarshal([]byte(*m.Message), &reference); err != nil || !reference.Weir.Cut ||
			reference.Weir.ID != e.ID() || reference.Weir.Bytes != len(e.Line) || reference.Weir.SHA256 != hex.EncodeToString(
			sum[:]) || !strings.HasPrefix(string(e.Line), reference.Begins) || reference.Begins == "" {
			t.Fatalf("%v: %s", err, *m.Message)
		}
	})
}

// readCEF reads CEF by its definition: fields with | between them, then members whose keys are words before = signs
// that no backslash stands before.
func readCEF(t *rapid.T, text string) (header []string, members map[string]string) {
	rest := strings.TrimPrefix(text, "CEF:0|")
	for range 6 {
		at := regexp.MustCompile(`^(?:[^|\\]|\\.)*\|`).FindString(rest)
		if at == "" {
			t.Fatalf("no header: %s", text)
		}
		header, rest = append(header, regexp.MustCompile(`\\(.)`).ReplaceAllString(at[:len(at)-1], "$1")), rest[len(at):]
	}
	members = map[string]string{}
	keys := regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`).FindAllStringSubmatchIndex(rest, -1)
	for i, at := range keys {
		end := len(rest)
		if i+1 < len(keys) {
			end = keys[i+1][0]
		}
		value := strings.NewReplacer(`\\`, `\`, `\=`, "=", `\n`, "\n", `\r`, "\r").Replace(rest[at[1]:end])
		members[rest[at[2]:at[3]]] = value
	}
	return header, members
}

func TestCEF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, event := drawEvent(t)
		most := rapid.SampledFrom([]int{leastMessage, mostMessage}).Draw(t, "most")
		n := newEncoder(&Settings{Most: most, Format: CEF, Host: "weir", Number: exampleNumber})
		message := string(n.message(e))
		_, text, _ := strings.Cut(message, "CEF:")
		if strings.ContainsAny(message, "\n\r") || !utf8.ValidString(message) || len(message) > most {
			t.Fatalf("%d bytes: %q", len(message), message)
		}
		header, members := readCEF(t, "CEF:"+text)
		if len(header) != 6 || header[3] != "3004" || members["externalId"] != e.ID() || members["rt"] != "1763978401002" {
			t.Fatalf("%q, %q of %q", header, members, message)
		}
		who := event["actor"].(map[string]any)["user"].(map[string]any)["name"].(string)
		who = string([]rune(who)) // as JSON writes bytes that are not UTF-8
		if got := members["suser"]; most == mostMessage && (!strings.HasPrefix(who, got) || len(who) < 900 && got != who) {
			t.Fatalf("suser is %q, want %q: %q", got, who, message)
		}
	})
}

func TestCEFOfAnEvent(t *testing.T) {
	e := &deliver.Event{Log: log, Name: "orders", Index: 7, Time: 1763978401002, Line: []byte(`{"time":1763978401002,` +
		`"class_uid":3004,"severity_id":3,"status_id":2,"actor":{"user":{"name":"anna"}},"src_endpoint":{"ip":"192.0.2.7",` +
		`"port":50123},"api":{"operation":"drop|all"},"entity":{"name":"p=1"},"message":"two\nlines"}`)}
	n := newEncoder(&Settings{Most: usualMessage, Format: CEF, Host: "weir", Number: 42})
	want := `<108>1 2025-11-24T10:00:01.002Z weir orders - 3004 [weir@42 id="` + log + `/7"] CEF:0|weir|weir|1|3004|` +
		`drop\|all|6|rt=1763978401002 externalId=` + log + `/7 suser=anna act=drop|all outcome=failure src=192.0.2.7 ` +
		`spt=50123 cs2Label=target cs2=p\=1 cs1Label=log cs1=orders msg=two\nlines`
	if got := string(n.message(e)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	got := n.message(&deliver.Event{Log: log, Line: []byte("no JSON")})
	if !strings.HasSuffix(string(got), "] no JSON") {
		t.Errorf("%s", got)
	}
}
