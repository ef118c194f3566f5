package api

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/delivertest"
	"github.com/weirlog/weir/internal/deliver/places"
)

const (
	integrationsV2  = base + "/groups/" + projectID + "/logIntegrations"
	integrationsOwn = "/api/weir/v1/groups/" + projectID + "/logIntegrations"

	goodOTLP = `{"type":"OTEL_LOG_EXPORT","logTypes":["EVENTS","STREAMS_AUDIT"],` +
		`"otelEndpoint":"https://example.org/v1/logs",` +
		`"otelSuppliedHeaders":[{"name":"X-Token","value":"first secret"},{"name":"X-Other","value":"second secret"}]}`
	goodSplunk = `{"type":"SPLUNK_LOG_EXPORT","logTypes":["STREAMS_OPERATIONAL"],"hecUrl":"https://example.org",` +
		`"hecToken":"third secret"}`
)

func (w *world) makeIntegration(body string) map[string]any {
	w.t.Helper()
	return want[map[string]any](w.t, 201, w.as(account.GroupOwner, post, integrationsV2, body))
}

func TestLogIntegrationsAreMadeShownChangedAndDeleted(t *testing.T) {
	w := newWorld(t, Options{})
	otlp, splunk := w.makeIntegration(goodOTLP), w.makeIntegration(goodSplunk)
	id := otlp["id"].(string)
	listed := want[struct{ Results []map[string]any }](t, 200, w.as(account.GroupOwner, get,
		integrationsV2+"?integrationType=SPLUNK_LOG_EXPORT", ""))
	if len(listed.Results) != 1 || listed.Results[0]["id"] != splunk["id"] ||
		listed.Results[0]["hecToken"] != places.Mask {
		t.Errorf("listed %v", listed)
	}
	all := w.as(account.GroupOwner, get, integrationsV2, "").Body.String() +
		w.as(account.GroupOwner, get, integrationsV2+"/"+id, "").Body.String()
	if strings.Contains(all, "secret\"") || strings.Count(all, `"first secret"`) > 0 || !strings.Contains(all, id) {
		t.Errorf("shown: %s", all)
	}
	changed := want[map[string]any](t, 200, w.as(account.GroupOwner, put, integrationsV2+"/"+id,
		strings.ReplaceAll(goodOTLP, "example.org", "example.net")))
	if changed["otelEndpoint"] != "https://example.net/v1/logs" || changed["id"] != id {
		t.Errorf("changed %v", changed)
	}
	want[any](t, 400, w.as(account.GroupOwner, put, integrationsV2+"/"+id, goodSplunk)) // the type does not change
	if rec := w.as(account.GroupOwner, remove, integrationsV2+"/"+id, ""); rec.Code != 204 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for _, method := range []string{get, remove} {
		if rec := w.as(account.GroupOwner, method, integrationsV2+"/"+id, ""); rec.Code != 404 {
			t.Errorf("%s: %d %s", method, rec.Code, rec.Body)
		}
	}
}

// A masked secret that is sent back keeps the stored secret. A mask without a stored secret is refused.
// The format is what the place's own attribute says, whichever of the two is given.
func TestFormatOfALogIntegration(t *testing.T) {
	w := newWorld(t, Options{})
	body := func(more string) string {
		return `{"type":"S3_LOG_EXPORT","logTypes":["EVENTS"],"bucketName":"events","prefixPath":"","accessKeyId":"k",` +
			`"iamRoleId":"6a793f48c0eb9e7a17712c00",` +
			`"secretAccessKey":"s"` + more + "}"
	}
	formats := func(of map[string]any) string {
		return fmt.Sprint(of["s3Format"], " ", of["weir"].(map[string]any)["format"])
	}
	made := w.makeIntegration(body(`,"weir":{"format":"PARQUET"}`))
	if got := formats(made); got != "PARQUET PARQUET" {
		t.Errorf("made with %s", got)
	}
	if got := formats(w.makeIntegration(body(""))); got != "<nil> RECORDED" {
		t.Errorf("made without a format with %s", got)
	}
	at := integrationsV2 + "/" + made["id"].(string)
	changed := want[map[string]any](t, 200, w.as(account.GroupOwner, put, at, body(`,"s3Format":"NDJSON"`)))
	if got := formats(changed); got != "NDJSON RECORDED" {
		t.Errorf("changed to %s", got)
	}
	want[any](t, 400, w.as(account.GroupOwner, put, at, body(`,"s3Format":"NDJSON","weir":{"format":"PARQUET"}`)))
}

func TestMaskedSecretsStay(t *testing.T) {
	w := newWorld(t, Options{})
	id := w.makeIntegration(goodOTLP)["id"].(string)
	shown := w.as(account.GroupOwner, get, integrationsV2+"/"+id, "").Body.String()
	back := strings.Replace(shown, `"X-Other","value":"`+places.Mask, `"X-Other","value":"another secret`, 1)
	if back == shown {
		t.Fatal(shown)
	}
	want[any](t, 200, w.as(account.GroupOwner, put, integrationsV2+"/"+id, back))
	d, err := w.deliveries.Get(t.Context(), projectID, id)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := places.Show(w.deliveries.Box, d)
	if err != nil {
		t.Fatal(err)
	}
	secrets := settings.Secrets()
	if *secrets["header x-token"] != "first secret" || *secrets["header x-other"] != "another secret" {
		t.Errorf("secrets %v", secrets)
	}
	if strings.Contains(string(d.Settings), "secret\"") {
		t.Errorf("stored: %s", d.Settings)
	}
	unknown := strings.Replace(back, `"X-Token"`, `"X-New"`, 1)
	if rec := w.as(account.GroupOwner, put, integrationsV2+"/"+id, unknown); rec.Code != 400 {
		t.Errorf("a mask of nothing: %d", rec.Code)
	}
}

// Another project cannot have a secret of this one sent to its own destination by copying the stored form.
func TestSecretsBelongToTheirIntegration(t *testing.T) {
	w := newWorld(t, Options{})
	d, err := w.deliveries.Get(t.Context(), projectID, w.makeIntegration(goodSplunk)["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for _, moved := range []deliver.Delivery{{ID: "6a793f48c0eb9e7a17712c00", Project: d.Project},
		{ID: d.ID, Project: otherID}} {
		moved.Type, moved.Settings = d.Type, d.Settings
		if _, err := places.Show(w.deliveries.Box, &moved); err == nil {
			t.Errorf("shown at %s of %s", moved.ID, moved.Project)
		}
	}
}

func TestBadLogIntegrationsAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	with := func(weir string) string {
		return strings.TrimSuffix(goodSplunk, "}") + `,"weir":` + weir + "}"
	}
	for body, attribute := range map[string]string{
		strings.Replace(goodSplunk, "SPLUNK", "GCS", 1):                              "type",
		strings.Replace(goodSplunk, "SPLUNK", "AZURE", 1):                            "type",
		strings.Replace(goodSplunk, "SPLUNK", "NEWRELIC", 1):                         "type",
		strings.Replace(goodSplunk, "STREAMS_OPERATIONAL", "MONGOD", 1):              "logTypes",
		strings.Replace(goodSplunk, "STREAMS_OPERATIONAL", "X", 1):                   "logTypes",
		strings.Replace(goodSplunk, `"STREAMS_OPERATIONAL"`, "", 1):                  "logTypes",
		strings.Replace(goodSplunk, `"STREAMS_OPERATIONAL"`, `"EVENTS","EVENTS"`, 1): "logTypes",
		strings.Replace(goodSplunk, "https://example.org", "example.org", 1):         "hecUrl",
		strings.Replace(goodSplunk, "third secret", "", 1):                           "hecToken",
		strings.Replace(goodSplunk, "third secret", places.Mask, 1):                  "hecToken",
		with(`{"workspaces":["absent"]}`):                                            "weir.workspaces",
		with(`{"filter":"who:"}`):                                                    "weir.filter",
		with(`{"filter":"time > now-1h"}`):                                           "weir.filter",
		with(`{"from":"yesterday"}`):                                                 "weir.from",
		with(`{"from":"6a793f48c0eb9e7a17712f00/1"}`):                                "from",
		with(`{"format":"PARQUET"}`):                                                 "weir.format",
		with(`{"format":"XML"}`):                                                     "weir.format",
		with(`{"batch":{"events":-1}}`):                                              "weir.batch.events",
		with(`{"batch":{"bytes":100000000}}`):                                        "weir.batch.bytes",
		with(`[]`):                                                                   "weir",
		`{"logTypes":["EVENTS"]}`:                                                    "type",
	} {
		rec := w.as(account.GroupOwner, post, integrationsV2, body)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), `"`+attribute+`"`) {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	if n := len(want[struct{ Results []any }](t, 200, w.as(account.GroupOwner, get, integrationsV2, "")).Results); n > 0 {
		t.Errorf("%d were made", n)
	}
}

func TestAProjectHasABoundedNumberOfLogIntegrations(t *testing.T) {
	w := newWorld(t, Options{})
	for range deliver.MaxDeliveries {
		w.integration(projectID)
	}
	if rec := w.as(account.GroupOwner, post, integrationsV2, goodOTLP); rec.Code != 400 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// With validate=true, an integration is not created if its destination does not accept an event.
func TestAPlaceIsTriedFirst(t *testing.T) {
	w := newWorld(t, Options{})
	s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer {
		return delivertest.Answer{Status: 403, Body: `{"text":"Invalid token","code":4}`}
	})
	body := strings.Replace(goodSplunk, "https://example.org", s.URL, 1)
	rec := w.as(account.GroupOwner, post, integrationsV2+"?validate=true", body)
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "Invalid token") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	s.Says(delivertest.Answer{Body: `{"text":"Success","code":0}`})
	made := want[map[string]any](t, 201, w.as(account.GroupOwner, post, integrationsV2+"?validate=true", body))
	s.Says(delivertest.Answer{Status: http.StatusServiceUnavailable})
	rec = w.as(account.GroupOwner, put, integrationsV2+"/"+made["id"].(string)+"?validate=true", body)
	if rec.Code != 400 || len(s.Asked()) != 3 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	all := want[struct{ Results []any }](t, 200, w.as(account.GroupOwner, get, integrationsV2, ""))
	if len(all.Results) != 1 {
		t.Errorf("made: %v", all.Results)
	}
}

// A delivery begins at the position that its owner chooses, and reports its position.
func TestWhereALogIntegrationBegins(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(20)
	w.sequence()
	const log = "6a793f48c0eb9e7a17712f00"
	at := func(id string) int64 {
		st, err := deliver.ReadState(t.Context(), w.faulty, id, log)
		if err != nil {
			t.Fatal(err)
		}
		return st.Next
	}
	entry := func(n int) string { return fmt.Sprintf("%s/%d", log, n) }
	make := func(from string) string {
		body := strings.Replace(goodIntegration, "{", `{"weir":{"from":"`+from+`","filter":"who:a"},`, 1)
		return w.makeIntegration(body)["id"].(string)
	}
	end := at(make("now"))
	if end < 20 {
		t.Fatalf("begins at %d", end)
	}
	for from, next := range map[string]int64{"beginning": 0, entry(7): 7, entry(999): end, "2000-01-01T00:00:00Z": 0,
		"2100-01-01T00:00:00Z": end} {
		if got := at(make(from)); got != next {
			t.Errorf("from %s: begins at %d, want %d", from, got, next)
		}
	}
	id := make("now")
	status := func() integrationStatus {
		return want[integrationStatus](t, 200, w.as(account.GroupOwner, get, integrationsOwn+"/"+id+"/status", ""))
	}
	if s := status(); s.State != "CURRENT" || s.Events != 0 || len(s.Logs) == 0 {
		t.Errorf("status %+v", s)
	}
	want[any](t, 200, w.as(account.GroupOwner, post, integrationsOwn+"/"+id+":replay", `{"from":"`+entry(5)+`"}`))
	if s := status(); at(id) != 5 || s.State != "BEHIND" || s.Events != end-5 || s.Seconds == 0 {
		t.Errorf("status %+v", s)
	}
	want[any](t, 200, w.as(account.GroupOwner, post, integrationsOwn+"/"+id+":pause", ""))
	if s := status(); s.State != "PAUSED" {
		t.Errorf("status %+v", s)
	}
	want[any](t, 200, w.as(account.GroupOwner, post, integrationsOwn+"/"+id+":resume", ""))
	for _, from := range []string{"6a793f48c0eb9e7a17712fff/0", "x", ""} {
		want[any](t, 400, w.as(account.GroupOwner, post, integrationsOwn+"/"+id+":replay", `{"from":"`+from+`"`+"}"))
	}
}

func TestParkedEventsAreShownSentAgainAndDiscarded(t *testing.T) {
	w := newWorld(t, Options{})
	const log = "6a793f48c0eb9e7a17712f00"
	id := w.makeIntegration(goodIntegration)["id"].(string)
	before, err := w.deliveries.Get(t.Context(), projectID, id)
	if err != nil {
		t.Fatal(err)
	}
	err = deliver.ChangeState(t.Context(), w.faulty, id, log, func(s *deliver.State) error {
		s.Parked = []deliver.Parked{{Entry: 3, Reason: "too old", At: now}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	status := func() integrationStatus {
		return want[integrationStatus](t, 200, w.as(account.GroupOwner, get, integrationsOwn+"/"+id+"/status", ""))
	}
	if s := status(); s.State != "PARKED" || len(s.Parked) != 1 || s.Parked[0].ID != log+"/3" || s.Parked[0].Again {
		t.Errorf("status %+v", s)
	}
	want[any](t, 200, w.as(account.GroupOwner, post, integrationsOwn+"/"+id+":retryParked", ""))
	after, err := w.deliveries.Get(t.Context(), projectID, id)
	if s := status(); err != nil || !s.Parked[0].Again || after.Generation <= before.Generation {
		t.Errorf("status %+v, generations %d and %d", s, before.Generation, after.Generation)
	}
	want[any](t, 200, w.as(account.GroupOwner, post, integrationsOwn+"/"+id+":discardParked", ""))
	if s := status(); len(s.Parked) != 0 {
		t.Errorf("status %+v", s)
	}
}

// Attributes that are each within their bounds, but too large together, are the caller's fault and not the server's.
func TestSettingsThatAreTooLargeTogetherAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	comment := strings.Repeat("# what others say of it\n", 60<<10/24)
	body, err := json.Marshal(map[string]any{"type": "SYSLOG_LOG_EXPORT", "logTypes": []string{"STREAMS_AUDIT"},
		"syslogAddress":     "syslog.example.org:6514",
		"clientCertificate": comment + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		"clientKey":         comment + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))})
	if err != nil {
		t.Fatal(err)
	}
	rec := w.as(account.GroupOwner, post, integrationsV2, string(body))
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "too large") {
		t.Errorf("%d %.300s", rec.Code, rec.Body)
	}
}
