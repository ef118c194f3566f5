package api

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/account"
)

// attributes returns the attributes of the thing in a reply, or of the last one in a list.
func attributes(t *testing.T, status int, rec *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	v := want[map[string]any](t, status, rec)
	if results, ok := v["results"].([]any); ok {
		if len(results) == 0 {
			t.Fatalf("an empty list: %s", rec.Body)
		}
		return results[len(results)-1].(map[string]any)
	}
	return v
}

// sameAttributes compares sent attributes with returned ones. Attributes that were not sent may have any value.
func sameAttributes(t *testing.T, where, sent string, got map[string]any) {
	t.Helper()
	var one map[string]any
	if err := json.Unmarshal([]byte(sent), &one); err != nil {
		t.Fatal(err)
	}
	for name, value := range one {
		if d := cmp.Diff(value, got[name]); d != "" {
			t.Errorf("%s: sent %s, the attribute %s comes back otherwise (-sent +got):\n%s", where, sent, name, d)
		}
	}
}

// addresses are networks in many notations, with the attribute in which they are sent.
var addresses = [][2]string{
	{"ipAddress", "192.0.2.77"},
	{"cidrBlock", "192.0.2.77/32"},
	{"cidrBlock", "198.51.100.7/24"}, // host bits
	{"cidrBlock", "198.51.100.0/24"},
	{"cidrBlock", "0.0.0.0/0"},
	{"cidrBlock", "2001:db8::/32"},
	{"cidrBlock", "2001:DB8::/32"},
	{"cidrBlock", "2001:db8:0:0:0:0:0:0/32"},
	{"cidrBlock", "2001:0db8:0000:0000:0000:0000:0000:0000/32"},
	{"cidrBlock", "2001:db8::1/64"}, // host bits
	{"cidrBlock", "::/0"},
	{"cidrBlock", "::1/128"},
	{"cidrBlock", "::ffff:192.0.2.0/120"},
	{"ipAddress", "::1"},
	{"ipAddress", "::"},
	{"ipAddress", "2001:db8::abcd"},
	{"ipAddress", "2001:DB8::ABCD"},
	{"ipAddress", "2001:db8:0:0:0:0:0:abcd"},
	{"ipAddress", "2001:0db8:0000:0000:0000:0000:0000:abcd"},
	{"ipAddress", "2001:db8::192.0.2.1"},
	{"ipAddress", "::ffff:192.0.2.9"},
}

// TestWhatIsSentComesBack checks that each operation that shows a value shows it as it was sent, so that tools that
// compare the two see no difference.
func TestWhatIsSentComesBack(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	key := want[keyView](t, 200, w.as(owner, "POST", orgV2+"/apiKeys", `{"desc":"k","roles":["ORG_MEMBER"]}`))
	sa := want[serviceAccountView](t, 201, w.as(owner, "POST", groupV2+"/serviceAccounts",
		`{"name":"s","description":"d","roles":["GROUP_READ_ONLY"],"secretExpiresAfterHours":8}`))
	lists := []string{groupV2 + "/accessList", orgV2 + "/apiKeys/" + key.ID + "/accessList",
		orgV2 + "/serviceAccounts/" + sa.ClientID + "/accessList",
		groupV2 + "/serviceAccounts/" + sa.ClientID + "/accessList"}
	for _, list := range lists {
		for _, a := range addresses {
			t.Run(strings.ReplaceAll(list+" "+a[1], "/", "|"), func(t *testing.T) {
				sent := fmt.Sprintf(`{%q:%q}`, a[0], a[1])
				path := list + "/" + url.PathEscape(a[1])
				created := attributes(t, 200, w.as(owner, "POST", list, "["+sent+"]"))
				sameAttributes(t, "POST", sent, created)
				listed := attributes(t, 200, w.as(owner, "GET", list, ""))
				sameAttributes(t, "GET of the list", sent, listed)
				if !strings.Contains(list, "serviceAccounts") { // the others have no GET of a single one
					got := attributes(t, 200, w.as(owner, "GET", path, ""))
					if d := cmp.Diff(created, got); d != "" {
						t.Errorf("GET (-POST +GET):\n%s", d)
					}
				}
				want[any](t, 204, w.as(owner, "DELETE", path, ""))
			})
		}
	}
	const group = `"name":"%s","orgId":"` + orgID + `"`
	for name, tt := range map[string]struct {
		create, at, bodies string // at: path below the new thing, empty if it is created there
		id                 string // attribute with the id of the new thing
		status             int
		update             []string
	}{
		"project": {base + "/groups", "", fmt.Sprintf(`{`+group+`,"withDefaultAlertsSettings":false,`+
			`"regionUsageRestrictions":"GOV_REGIONS_ONLY","tags":[{"key":" z ","value":"b  b"},{"key":"a","value":"Ä"}]}`,
			"Z.(),:&@+'z"), "id", 200,
			[]string{`{"withDefaultAlertsSettings":true}`, `{"tags":[{"key":"b","value":"2"},{"key":"a","value":"1"}]}`,
				`{"name":"z:z"}`, `{"tags":[]}`}},
		"key": {orgV2 + "/apiKeys", "", `{"desc":"  two  spaces "}`, "id", 200, []string{`{"desc":" Ä\t\"<&> "}`}},
		"service account": {orgV2 + "/serviceAccounts", "", `{"name":" N a ","description":" d,'. ",` +
			`"roles":["ORG_READ_ONLY","ORG_BILLING_ADMIN","ORG_MEMBER"]}`, "clientId", 201,
			[]string{`{"roles":["ORG_MEMBER","ORG_BILLING_ADMIN"]}`, `{"roles":["ORG_BILLING_ADMIN","ORG_MEMBER"]}`,
				`{"name":"  ","description":" e"}`}},
		"service account of a project": {groupV2 + "/serviceAccounts", "", `{"name":"N","description":"d",` +
			`"roles":["GROUP_READ_ONLY","GROUP_OWNER","GROUP_DATA_ACCESS_ADMIN"]}`, "clientId", 201,
			[]string{`{"roles":["GROUP_OWNER","GROUP_DATA_ACCESS_ADMIN"]}`}},
		"workspace": {groupV2 + "/streams", "", `{"name":"Up-per_1","dataProcessRegion":{"cloudProvider":"AWS",` +
			`"region":"DUBLIN_IRL"},"streamConfig":{"tier":"SP10","maxTierSize":"SP50"},"failoverRegions":[` +
			`{"cloudProvider":"AWS","region":"OHIO_USA"},{"cloudProvider":"AWS","region":"OREGON_USA"}]}`, "name", 200,
			[]string{`{"failoverRegions":[{"cloudProvider":"AWS","region":"OREGON_USA"},` +
				`{"cloudProvider":"AWS","region":"OHIO_USA"}]}`, `{"streamConfig":{"tier":"SP2","maxTierSize":"SP5"}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			body := tt.bodies
			if strings.Contains(name, "service account") {
				body = strings.TrimSuffix(body, "}") + `,"secretExpiresAfterHours":9}`
			}
			if name == "key" {
				body = strings.TrimSuffix(body, "}") + `,"roles":["ORG_MEMBER"]}`
			}
			created := attributes(t, tt.status, w.as(owner, "POST", tt.create, body))
			sameAttributes(t, "POST", tt.bodies, created)
			path := tt.create + "/" + fmt.Sprint(created[tt.id])
			sameAttributes(t, "GET", tt.bodies, attributes(t, 200, w.as(owner, "GET", path, "")))
			for _, update := range tt.update {
				sameAttributes(t, "PATCH", update, attributes(t, 200, w.as(owner, "PATCH", path, update)))
				sameAttributes(t, "GET after PATCH", update, attributes(t, 200, w.as(owner, "GET", path, "")))
			}
		})
	}
	t.Run("organization", func(t *testing.T) {
		made := want[newOrgView](t, 201, w.as(owner, "POST", base+"/orgs", `{"name":"O","skipDefaultAlertsSettings":true}`))
		path := base + "/orgs/" + made.Organization.ID
		if !made.SkipAlerts || !made.Organization.SkipAlert {
			t.Errorf("created: %+v", made)
		}
		sameAttributes(t, "GET", `{"skipDefaultAlertsSettings":true}`, attributes(t, 200, w.as(owner, "GET", path, "")))
		for _, update := range []string{`{"name":"P","skipDefaultAlertsSettings":false}`, `{"name":"(q)"}`} {
			sameAttributes(t, "PATCH", update, attributes(t, 200, w.as(owner, "PATCH", path, update)))
			sameAttributes(t, "GET after PATCH", update, attributes(t, 200, w.as(owner, "GET", path, "")))
		}
	})
	for _, sent := range []string{
		`{"cidrBlock":"2001:db8::/32","comment":"  two  spaces "}`,
		`{"ipAddress":"::1","cidrBlock":"0:0::1/128"}`,
		`{"awsSecurityGroup":"sg-0a1b2c3d"}`,
		`{"awsSecurityGroup":"123456789012/sg-0a1b2c3d"}`,
		`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31T00:00:00Z"}`,
		`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31T00:00:00.000Z"}`,
		`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31T00:00:00.120300Z"}`,
		`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31T02:00:00+02:00"}`,
		`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-30T20:00:00.5-04:30"}`,
		`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31T00:00:00+00:00"}`,
	} {
		list := groupV2 + "/accessList"
		created := attributes(t, 200, w.as(owner, "POST", list, "["+sent+"]"))
		sameAttributes(t, "POST", sent, created)
		sameAttributes(t, "GET of the list", sent, attributes(t, 200, w.as(owner, "GET", list, "")))
		for _, name := range []string{"ipAddress", "cidrBlock", "awsSecurityGroup"} {
			if value, ok := created[name].(string); ok {
				path := list + "/" + url.PathEscape(value)
				sameAttributes(t, "GET by "+name, sent, attributes(t, 200, w.as(owner, "GET", path, "")))
			}
		}
	}
}

// The id of a service account may be written in upper case, which the document allows. It is shown as it is written.
func TestClientIDInUpperCase(t *testing.T) {
	w := newWorld(t, Options{})
	sa := want[serviceAccountView](t, 201, w.as(account.OrgOwner, "POST", orgV2+"/serviceAccounts",
		`{"name":"s","description":"d","roles":["ORG_MEMBER"],"secretExpiresAfterHours":8}`))
	w.signIn(sa.ClientID, sa.Secrets[0].Secret) // so that the secret lasts beyond today
	upper := "mdb_sa_id_" + strings.ToUpper(strings.TrimPrefix(sa.ClientID, "mdb_sa_id_"))
	for _, id := range []string{sa.ClientID, upper} {
		path := orgV2 + "/serviceAccounts/" + id
		if got := want[serviceAccountView](t, 200, w.as(account.OrgOwner, "GET", path, "")); got.ClientID != id {
			t.Errorf("asked for %s, got %s", id, got.ClientID)
		}
		want[map[string]any](t, 200, w.as(account.OrgOwner, "GET", path+"/groups", ""))
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id},
			"client_secret": {sa.Secrets[0].Secret}}
		want[tokenView](t, 200, w.do("POST", "/api/oauth/token", form.Encode(),
			"Content-Type: application/x-www-form-urlencoded"))
	}
	refusedAs(t, 404, "SERVICE_ACCOUNT_NOT_FOUND", w.as(account.OrgOwner, "GET",
		orgV2+"/serviceAccounts/"+strings.ToUpper(sa.ClientID), ""))
}

// spellings returns notations of a network in a path.
func spellings(p netip.Prefix) []string {
	a := p.Addr()
	addresses := []string{a.String(), a.StringExpanded(), strings.ToUpper(a.String()), strings.ToUpper(a.StringExpanded())}
	if a.Is4() {
		addresses = append(addresses, "::ffff:"+a.String())
	}
	var all []string
	for i, text := range addresses {
		bits := p.Bits()
		if a.Is4() && i == len(addresses)-1 {
			bits += 96
		}
		block := fmt.Sprintf("%s/%d", text, bits)
		all = append(all, block)
		if p.IsSingleIP() {
			all = append(all, text)
		}
	}
	var paths []string
	for _, text := range all {
		escaped := url.PathEscape(text)
		colons := strings.ReplaceAll(escaped, ":", "%3A")
		paths = append(paths, escaped, strings.ReplaceAll(escaped, "%2F", "%2f"), colons, strings.ToLower(colons),
			url.PathEscape(escaped), url.PathEscape(colons))
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// An entry is found by each notation of its network. If it is added several times, it is still one entry.
func TestEntriesAreFoundByValue(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	key := want[keyView](t, 200, w.as(owner, "POST", orgV2+"/apiKeys", `{"desc":"k","roles":["ORG_MEMBER"]}`))
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SampledFrom([]string{groupV2 + "/accessList", orgV2 + "/apiKeys/" + key.ID + "/accessList"}).
			Draw(rt, "list")
		size := rapid.SampledFrom([]int{4, 16}).Draw(rt, "bytes")
		// Few bytes are not zero, so that the notation can leave some out.
		bytes := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0xab}), size, size).Draw(rt, "address")
		bytes[0] = rapid.SampledFrom([]byte{0x20, 0xfe}).Draw(rt, "first byte") // not an IPv4 address in IPv6
		address, _ := netip.AddrFromSlice(bytes)
		bits := rapid.SampledFrom([]int{8, size * 8 / 2, size * 8}).Draw(rt, "bits")
		p := netip.PrefixFrom(address, bits).Masked()
		for _, path := range spellings(p) {
			text := path
			for strings.Contains(text, "%") {
				text, _ = url.PathUnescape(text)
			}
			name := "ipAddress"
			if strings.Contains(text, "/") {
				name = "cidrBlock"
			}
			sent := fmt.Sprintf(`{%q:%q}`, name, text)
			got := want[page[map[string]any]](t, 200, w.as(owner, "POST", list, "["+sent+"]"))
			if len(got.Results) != 1 || got.Results[0][name] != text {
				rt.Fatalf("added %s: %v", sent, got.Results)
			}
			if found := w.as(owner, "GET", list+"/"+path, ""); found.Code != 200 {
				rt.Fatalf("%s is not found by %s: %d %s", p, path, found.Code, found.Body)
			}
		}
		paths := spellings(p)
		path := rapid.SampledFrom(paths).Draw(rt, "removed by")
		if rec := w.as(owner, "DELETE", list+"/"+path, ""); rec.Code != 204 {
			rt.Fatalf("not removed by %s: %d %s", path, rec.Code, rec.Body)
		}
		if left := want[page[any]](t, 200, w.as(owner, "GET", list, "")); len(left.Results) != 0 {
			rt.Fatalf("left: %v", left.Results)
		}
	})
}

// Values that are not an address, a network or a date, or not in the future, are refused with the name of the
// attribute.
func TestMalformedEntriesAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	for _, tt := range []struct{ body, field string }{
		{`{"ipAddress":"2001:db8::1%eth0"}`, "ipAddress"},
		{`{"ipAddress":"2001:db8::/32"}`, "ipAddress"},
		{`{"ipAddress":"192.0.2.01"}`, "ipAddress"},
		{`{"ipAddress":" 192.0.2.1"}`, "ipAddress"},
		{`{"cidrBlock":"fe80::1%eth0/64"}`, "cidrBlock"},
		{`{"cidrBlock":"2001:db8::/129"}`, "cidrBlock"},
		{`{"cidrBlock":"2001:db8::/032"}`, "cidrBlock"},
		{`{"cidrBlock":"192.0.2.1"}`, "cidrBlock"},
		{`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31T00:00:00,5Z"}`, "deleteAfterDate"},
		{`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31T00:00:00.1234567890Z"}`, "deleteAfterDate"},
		{`{"ipAddress":"192.0.2.5","deleteAfterDate":"2030-01-31"}`, "deleteAfterDate"},
		{`{"ipAddress":"192.0.2.5","deleteAfterDate":"2020-01-31T00:00:00Z"}`, "deleteAfterDate"},
	} {
		rec := w.as(account.GroupOwner, "POST", groupV2+"/accessList", "["+tt.body+"]")
		refusedAs(t, 400, "INVALID_ATTRIBUTE", rec)
		if !strings.Contains(rec.Body.String(), `"field":"`+tt.field+`"`) {
			t.Errorf("%s: %s", tt.body, rec.Body)
		}
	}
	refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.OrgOwner, "POST", base+"/groups",
		`{"name":"x","orgId":"`+orgID+`","regionUsageRestrictions":"gov_regions_only"}`))
}
