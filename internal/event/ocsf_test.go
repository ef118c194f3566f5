package event

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConform(t *testing.T) {
	for _, line := range sampleLines() {
		if warnings, err := Conform(line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %q, %v", line, warnings, err)
		}
	}
	event := string(sampleLines()[2])
	for _, tt := range []struct{ old, new, want string }{
		{`"class_uid":3004`, `"class_uid":4242`, "class_uid 4242 is not one of the OCSF classes that weir knows"},
		{`"class_uid":3004,`, ``, "class_uid is missing"},
		{`"class_uid":3004`, `"class_uid":3004.5`, "class_uid must be an integer"},
		{`"severity_id":1,`, ``, "severity_id is missing"},
		{`"severity_id":1`, `"severity_id":"high"`, "severity_id must be an integer"},
		{`"severity_id":1`, `"severity_id":42`, "severity_id has no value 42"},
		{`"activity_id":1`, `"activity_id":2`, "type_uid is 300401, but class_uid and activity_id make it 300402"},
		{`"category_uid":3`, `"category_uid":6`, "category_uid is 6, but that of Entity Management is 3"},
		{`{"name":"Atlas Stream Processing","vendor_name":"MongoDB"}`, `"MongoDB Server"`,
			"metadata.product must be an object"},
		{`"version":"1.8.0",`, ``, "metadata.version is missing"},
		{`"groups":[{"name":"admin.atlasAdmin"}]`, `"groups":[{"name":7}]`,
			"actor.user.groups[0].name must be a string"},
		{`"groups":[{"name":"admin.atlasAdmin"}]`, `"groups":{}`, "actor.user.groups must be an array"},
		{`"203.0.113.24"`, `"203.0.113.244444"`, "src_endpoint.ip must be an IP address"},
		{`50512`, `70000`, "src_endpoint.port must be from 0 to 65535"},
		{`{"ip":"203.0.113.24","port":50512}`, `{"port":1}`,
			"src_endpoint needs at least one of ip, uid, name, hostname, svc_name, instance_uid, interface_uid, " +
				"interface_name, domain"},
		{`"status":"Success"`, `"status":null`, "status must be a string"},
	} {
		line := strings.Replace(event, tt.old, tt.new, 1)
		if warnings, err := Conform([]byte(line)); line == event || err != nil ||
			!slices.Equal(warnings, []string{tt.want}) {
			t.Errorf("%s: %q, %v, want %q", tt.new, warnings, err, tt.want)
		}
	}
	if _, err := Conform([]byte(`{"class_uid":`)); err == nil {
		t.Error("half an event conforms")
	}
}

// The number and size of warnings for one event are bounded, however it deviates.
func TestWarningsAreBounded(t *testing.T) {
	event := string(sampleLines()[2])
	const groups = `"groups":[{"name":"admin.atlasAdmin"}]`
	for _, groupsOf := range []string{`"groups":[1` + strings.Repeat(`,1`, 10_000) + `]`,
		`"groups":[{"name":1}` + strings.Repeat(`,{"name":1}`, 10_000) + `]`} {
		line := strings.Replace(event, groups, groupsOf, 1)
		warnings, err := Conform([]byte(line))
		again, _ := Conform([]byte(line))
		if line == event || err != nil || len(warnings) != maxWarnings || !slices.Equal(warnings, again) {
			t.Errorf("%d warnings, %v", len(warnings), err)
		}
	}
	c := check{}
	c.value("x", attribute{Type: "string_t", Enum: map[string]string{"a": ""}}, strings.Repeat("\n", 100_000))
	if len(c.warnings) != 1 || len(c.warnings[0]) > 1000 {
		t.Errorf("%.2000q", c.warnings)
	}
}

var act = Act{Time: received, Project: origin.Project, Workspace: "demo", RequestID: "r-1", CallerID: "gswvkocq",
	CallerKind: "API Key", Address: netip.MustParseAddrPort("[::ffff:203.0.113.24]:50512")}

func TestAccessed(t *testing.T) {
	access := Access{Act: act, Operation: "downloadAuditLogs"}
	refused := access
	refused.CallerName, refused.Address = "ci <robot>", netip.MustParseAddrPort("[fe80::1%eth0]:1")
	refused.Status, refused.ErrorCode, refused.Start, refused.End, refused.Processor = 403, "USER_UNAUTHORIZED",
		1199145600, 1763980000, "p\"\xff"
	noAddress := access
	noAddress.Address = netip.AddrPort{}
	const begin = `{"activity_id":2,"category_uid":6,"class_uid":6003,"type_uid":600302,"time":1763980000000,`
	const metadata = `"metadata":{"version":"1.8.0","product":{"name":"weir","vendor_name":"weir"},"uid":"UID",` +
		`"log_name":"demo","tenant_uid":"6a793f48c0eb9e7a17712c9a","logged_time":1763980000000},`
	for _, tt := range []struct {
		name string
		in   Access
		want string
	}{
		{"granted", access, begin + `"severity_id":1,"status_id":1,"status":"Success",` + metadata +
			`"actor":{"user":{"name":"gswvkocq","type":"API Key","type_id":99,"uid":"gswvkocq"}},` +
			`"src_endpoint":{"ip":"203.0.113.24","port":50512},` +
			`"api":{"operation":"downloadAuditLogs","request":{"uid":"r-1"}},"resources":[{"name":"demo",` +
			`"type":"Stream Workspace"}],` +
			`"unmapped":{"atype":"auditLogAccessed","param":{}}}`},
		{"refused", refused, begin + `"severity_id":3,"status_id":2,"status":"Failure","status_code":"403",` +
			metadata +
			`"actor":{"user":{"name":"ci <robot>","type":"API Key","type_id":99,"uid":"gswvkocq"}},` +
			`"src_endpoint":{"ip":"fe80::1","port":1},` +
			`"api":{"operation":"downloadAuditLogs","request":{"uid":"r-1"},"response":{"code":403,` +
			`"error":"USER_UNAUTHORIZED"}},` +
			`"resources":[{"name":"demo","type":"Stream Workspace"}],` +
			`"unmapped":{"atype":"auditLogAccessed","param":{"startDate":1199145600,"endDate":1763980000,` +
			`"spName":"p\"\ufffd"}}}`},
		{"no address", noAddress, ""},
	} {
		line := Accessed(tt.in)
		if warnings, err := Conform(line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %s: %q, %v", tt.name, line, warnings, err)
		}
		recorded, f, err := new(Parser).Append(nil, line, origin)
		if err != nil || withoutFacts(recorded) != string(line)+"\n" || f.Time != received.UnixMilli() ||
			len(f.Processors) > 0 {
			t.Errorf("%s: recorded as %s, %+v, %v", tt.name, recorded, f, err)
		}
		if got := strings.Replace(string(line), string(f.UID), "UID", 1); tt.want != "" && got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
	if bytes.Equal(Accessed(access), Accessed(access)) {
		t.Error("two attempts are one event")
	}
}

func TestChanged(t *testing.T) {
	const metadata = `"metadata":{"version":"1.8.0","product":{"name":"weir","vendor_name":"weir"},"uid":"UID",` +
		`"log_name":"demo",` +
		`"tenant_uid":"6a793f48c0eb9e7a17712c9a","logged_time":1763980000000,"correlation_uid":"r-1"},`
	const user = `{"name":"gswvkocq","type":"API Key","type_id":99,"uid":"gswvkocq"},` +
		`"src_endpoint":{"ip":"203.0.113.24","port":50512},`
	outside := act
	outside.Project, outside.Workspace = "", ""
	for name, tt := range map[string]struct {
		line []byte
		want string
	}{
		"created": {Changed(Change{Act: act, Operation: "createGroupStreamWorkspace", Activity: Create,
			EntityType: "Stream Workspace",
			EntityID:   "w1", EntityName: "demo", After: []byte(`{"name":"demo"}`)}),
			`{"activity_id":1,"category_uid":3,"class_uid":3004,"type_uid":300401,"time":1763980000000,"severity_id":1,` +
				`"status_id":1,"status":"Success",` +
				metadata + `"actor":{"user":` + strings.Replace(user, "99,\"uid\":\"gswvkocq\"},",
				"99,\"uid\":\"gswvkocq\"}},", 1) +
				`"comment":"createGroupStreamWorkspace","entity":{"name":"demo","uid":"w1","type":"Stream Workspace",` +
				`"type_id":99},` +
				`"entity_result":{"name":"demo","uid":"w1","type":"Stream Workspace","type_id":99,"data":{"name":"demo"}},` +
				`"unmapped":{"atype":"createGroupStreamWorkspace"}}`},
		"deleted": {Changed(Change{Act: outside, Operation: "deleteGroup", Activity: Delete, EntityType: "Project",
			EntityID: "p", Before: []byte(`{}`)}), ""},
		"signed in":             {SessionChanged(act, Logon, "beginSession", "x", "Secret"), ""},
		"signed out everywhere": {SessionChanged(act, Logoff, "endSession", "", "Session"), ""},
		"sign-in": {SignInFailed(act, "Digest", "wrong digest"),
			`{"activity_id":1,"category_uid":3,"class_uid":3002,"type_uid":300201,"time":1763980000000,"severity_id":3,` +
				`"status_id":2,"status":"Failure",` +
				`"status_detail":"wrong digest",` + metadata + `"user":` + user +
				`"auth_protocol":"Digest","auth_protocol_id":3,"is_remote":true,"service":{"name":"weir"},` +
				`"unmapped":{"atype":"authenticate"}}`},
	} {
		if warnings, err := Conform(tt.line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %s: %q, %v", name, tt.line, warnings, err)
		}
		recorded, f, err := new(Parser).Append(nil, tt.line, Origin{By: "sender", Received: received, Salt: "pepper"})
		if err != nil || withoutFacts(recorded) != string(tt.line)+"\n" {
			t.Errorf("%s: recorded as %s, %v", name, recorded, err)
		}
		if got := strings.Replace(string(tt.line), string(f.UID), "UID", 1); tt.want != "" && got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, tt.want)
		}
	}
}

func TestSamples(t *testing.T) {
	const workspace = `de"mo`
	events := Samples(workspace, "p", received)
	uids, processors, kinds := map[string]bool{}, map[string]bool{}, map[string]bool{}
	last := received.Add(-72 * time.Hour).UnixMilli()
	var p Parser
	for _, line := range events {
		if warnings, err := Conform(line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %q, %v", line, warnings, err)
		}
		recorded, f, err := p.Append(nil, line, Origin{Workspace: "other", Project: "other", Received: received})
		if err != nil || f.Time <= last || f.Time >= received.UnixMilli() || uids[string(f.UID)] || len(f.UID) != 36 {
			t.Errorf("%s: %+v, %v", line, f, err)
		}
		if !bytes.Contains(line, []byte(`"log_name":"de\"mo","tenant_uid":"p"`)) ||
			!bytes.HasSuffix(recorded, []byte("}\n")) ||
			bytes.Contains(line, []byte("logged_time")) || bytes.Contains(line, []byte("prod-orders")) {
			t.Errorf("%s", line)
		}
		last = f.Time
		uids[string(f.UID)] = true
		kinds[between(string(line), `"atype":"`, `"`)] = true
		for _, name := range f.Processors {
			processors[name] = true
		}
	}
	if len(events) < 48 || len(processors) != 3 || len(kinds) != 10 {
		t.Errorf("%d events of %d kinds, processors %v", len(events), len(kinds), processors)
	}
	if !slices.EqualFunc(events, Samples(workspace, "p", received), bytes.Equal) {
		t.Error("not the same again")
	}
	for _, line := range slices.Concat(Samples("other", "p", received),
		Samples(workspace, "p", received.Add(time.Second))) {
		if f, err := p.Scan(line); err != nil || uids[string(f.UID)] {
			t.Errorf("%s has a uid of another's: %v", line, err)
		}
	}
}

func TestAttributesOfClassesAndObjects(t *testing.T) {
	class, ok := ClassAttributes(6003)
	if !ok || !slices.Contains(class, Attribute{"resources", "resource_details", true}) ||
		!slices.Contains(class, Attribute{"time", "timestamp_t", false}) ||
		!slices.IsSortedFunc(class, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error(class, ok)
	}
	if object, ok := ObjectAttributes("user"); !ok || !slices.Contains(object, Attribute{"groups", "group", true}) {
		t.Error(object, ok)
	}
	if class, ok := ClassAttributes(1); ok {
		t.Error(class)
	}
	if object, ok := ObjectAttributes("string_t"); ok {
		t.Error(object)
	}
}
