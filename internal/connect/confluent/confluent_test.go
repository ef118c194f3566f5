package confluent

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/event"
)

const (
	statement = `{"specversion":"1.0","id":"5c8e1f0a-2f7b-4a55-9b1e-7f0a3c2d1e90","source":"crn://confluent.cloud/",` +
		`"type":"io.confluent.cloud/request","subject":"crn://confluent.cloud/organization=0d9c7b1e/` +
		`environment=env-ab12c/flink-region=aws.eu-central-1/statement=orders-enrich",` +
		`"time":"2026-11-20T07:01:02.345678901Z","datacontenttype":"application/json",` +
		`"data":{"serviceName":"crn://confluent.cloud/","methodName":"DeleteStatement",` +
		`"cloudResources":[{"scope":{"resources":[{"type":"ORGANIZATION","resourceId":"0d9c7b1e"},` +
		`{"type":"ENVIRONMENT","resourceId":"env-ab12c"}]},` +
		`"resource":{"type":"STATEMENT","resourceId":"orders-enrich"}}],"authenticationInfo":{"exposure":"CUSTOMER",` +
		`"principal":{"confluentServiceAccount":{"resourceId":"sa-7xk2p"}},"result":"SUCCESS"},` +
		`"requestMetadata":{"requestId":["9f1c2d3e"],"clientAddress":[{"ip":"203.0.113.24"}]},` +
		`"request":{"accessType":"MODIFICATION"},"result":{"status":"SUCCESS"}}}`

	older = `{"specversion":"1.0","id":"i","source":"crn://confluent.cloud/kafka=lkc-1",` +
		`"type":"io.confluent.kafka.server/%s","subject":"crn://confluent.cloud/organization=o/kafka=lkc-1/topic=orders",` +
		`"time":"2026-11-20T07:01:02Z","data":%s}`
)

func envelope(kind, data string) string { return fmt.Sprintf(older, kind, data) }

// Each kind of event is taken, conforms to its class and has what is asked for most.
func TestEventsConform(t *testing.T) {
	for _, c := range []struct {
		raw, class string
		has        []string
	}{
		{statement, "300404", []string{`"time":1795158062345`, `"status_id":1`, `"tenant_uid":"0d9c7b1e"`,
			`"uid":"5c8e1f0a-2f7b-4a55-9b1e-7f0a3c2d1e90"`, `"actor":{"user":{"uid":"sa-7xk2p","type_id":4,"type":"Service"}}`,
			`"src_endpoint":{"ip":"203.0.113.24"}`,
			`"entity":{"name":"orders-enrich","type":"Flink Statement","type_id":99}`,
			`"type":"io.confluent.cloud/request","methodName":"DeleteStatement"`}},
		{strings.NewReplacer("DeleteStatement", "PauseConnector", `"result":{"status":"SUCCESS"}`,
			`"result":{"status":"FAILURE"}`).Replace(statement), "300412",
			[]string{`"status_id":2`, `"status_code":"FAILURE"`, `"type":"Connector"`}},
		{strings.Replace(statement, "DeleteStatement", "ListStatements", 1), "600302", []string{
			`"operation":"ListStatements"`, `"request":{"uid":"9f1c2d3e"}`, `"namespace":"env-ab12c"`}},
		{strings.Replace(statement, "DeleteStatement", "RotateKey", 1), "600303", nil},
		{strings.Replace(statement, "cloud/request", "cloud/access-transparency", 1), "600302", []string{`"severity_id":2`}},
		{strings.Replace(statement, "cloud/request", "cloud/something-new", 1), "99", []string{`"severity_id":1`}},
		{envelope("authentication", `{"serviceName":"s","methodName":"kafka.Authentication","authenticationInfo":{`+
			`"principal":"User:u-1abc2d","metadata":{"mechanism":"SASL_SSL/PLAIN","identifier":"KEY"}},`+
			`"result":{"status":"UNAUTHENTICATED","message":"bad"},"requestMetadata":{"client_address":"/198.51.100.7:41000"}}`),
			"300201", []string{`"user":{"uid":"u-1abc2d","type_id":1`, `"auth_protocol":"SASL_SSL/PLAIN"`, `"status_id":2`,
				`"status_detail":"bad"`, `"src_endpoint":{"ip":"198.51.100.7","port":41000}`}},
		{envelope("authorization", `{"methodName":"kafka.CreateTopics","authenticationInfo":{"principal":"User:123456"},`+
			`"authorizationInfo":{"granted":false,"operation":"Create","rbacAuthorization":{"role":"DeveloperRead"}}}`),
			"600301", []string{`"decision":"DENY"`, `"policy":{"name":"DeveloperRead"}`, `"svc_name":"crn://`,
				`"uid":"123456","type_id":99`}},
		{envelope("authorization", `{"method_name":"flink.Authorize","authentication_info":{"principal":{"confluent_user":`+
			`{"resource_id":"u-7"}}},"authorization_info":{"result":"ALLOW","operation":"Describe"}}`),
			"600302", []string{`"uid":"u-7","type_id":1`, `"decision":"ALLOW"`, `"status_id":1`}},
		{envelope("request", `{}`), "600300", []string{`"type_id":0`}},
		{envelope("request", `null`), "600300", nil},
	} {
		made, ms, err := Map(nil, []byte(c.raw), 1)
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
			continue
		}
		var p event.Parser
		p.MaxBytes = 1 << 20
		line, f, err := p.Append(nil, made, event.Origin{By: "x", Received: time.UnixMilli(1795159000000)})
		if err != nil || f.Time != ms {
			t.Errorf("%s: %d, %v", made, ms, err)
			continue
		}
		if warnings, err := event.Conform(line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", made, warnings, err)
		}
		for _, text := range append(c.has, `"type_uid":`+c.class+`,`) {
			if !strings.Contains(string(made), text) {
				t.Errorf("%s lacks %s", made, text)
			}
		}
	}
}

// All that Confluent has said stays, as it came.
func TestDataIsKeptAsItCame(t *testing.T) {
	var sent, made struct {
		Data     json.RawMessage
		Unmapped struct{ Data json.RawMessage }
	}
	event, _, err := Map(nil, []byte(statement), 1)
	if err != nil || json.Unmarshal([]byte(statement), &sent) != nil || json.Unmarshal(event, &made) != nil ||
		string(sent.Data) != string(made.Unmapped.Data) {
		t.Errorf("%s, %v", event, err)
	}
}

func TestMalformedEventsAreErrors(t *testing.T) {
	for _, raw := range []string{`{}`, `7`, `x`, strings.Replace(statement, `"1.0"`, `"0.3"`, 1),
		strings.Replace(statement, `"id"`, `"no"`, 1), strings.Replace(statement, "2026-11-20T", "at ", 1)} {
		if made, _, err := Map(nil, []byte(raw), 1); err == nil {
			t.Errorf("%s became %s", raw, made)
		}
	}
}

func TestTimeOfTheMessageCountsIfThereIsNoOther(t *testing.T) {
	raw := strings.Replace(statement, `"time":"2026-11-20T07:01:02.345678901Z",`, "", 1)
	if _, ms, err := Map(nil, []byte(raw), 1795158000000); err != nil || ms != 1795158000000 {
		t.Error(ms, err)
	}
}

func FuzzMap(f *testing.F) {
	f.Add([]byte(statement))
	f.Add([]byte(envelope("authorization", `{"authorizationInfo":{"granted":true},"cloudResources":[{}]}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		made, _, err := Map(nil, raw, 1)
		if err == nil && !json.Valid(made) {
			t.Fatalf("%s became %s", raw, made)
		}
		const factor, memory = 6, 8 << 10
		if len(made) > factor*len(raw)+memory {
			t.Fatalf("%d bytes became %d", len(raw), len(made))
		}
	})
}
