package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
)

const sourcesPath = "/api/weir/v1/groups/" + projectID + "/sources"

const goodSource = `{"name":"atlas","type":"ATLAS","atlas":{"clientId":"mdb_sa_id_x","clientSecret":"very secret"}}`

func (w *world) source(body string) sourceView {
	w.t.Helper()
	return want[sourceView](w.t, 201, w.as(account.GroupOwner, post, sourcesPath, body))
}

// The secret of a source is in no reply, in no event and, unencrypted, in no object.
func TestSecretOfASourceIsNeverShown(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.source(goodSource)
	for _, rec := range []fmt.Stringer{
		w.as(account.GroupReadOnly, get, sourcesPath, "").Body,
		w.as(account.GroupReadOnly, get, sourcesPath+"/"+made.ID, "").Body,
		w.as(account.GroupReadOnly, get, sourcesPath+"/"+made.ID+"/status", "").Body,
		w.as(account.GroupOwner, patch, sourcesPath+"/"+made.ID, `{"atlas":{"clientSecret":"other secret"}}`).Body,
	} {
		if text := rec.String(); strings.Contains(text, "secret\"") || strings.Contains(text, " secret") {
			t.Errorf("%s", text)
		}
	}
	w.sequence()
	ctx := context.Background()
	for info, err := range w.faulty.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := bucket.Read(ctx, w.faulty, info.Key, bucket.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "very secret") || strings.Contains(string(data), "other secret") {
			t.Errorf("%s has the secret", info.Key)
		}
	}
	s, err := w.options.Sources.Get(ctx, projectID, made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.options.Sources.Show(s, s.Atlas.Secret); got != "other secret" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	s.ID = otherID
	if got, err := w.options.Sources.Show(s, s.Atlas.Secret); err == nil {
		t.Errorf("moved to another source it shows %q", got)
	}
}

// A caller that may change a source cannot have its secret sent to another server, or checked with other authorities.
func TestSecretOfASourceStaysWithItsServer(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.source(goodSource)
	for _, body := range []string{`{"baseUrl":"https://attacker.example"}`, `{"clientId":"another"}`,
		`{"publicKey":"abcdefgh"}`, `{"baseUrl":"https://attacker.example","privateKey":"x"}`,
		`{"clientId":"a","publicKey":"b","privateKey":"c"}`} {
		rec := w.as(account.GroupOwner, patch, sourcesPath+"/"+made.ID, `{"atlas":`+body+`}`)
		if rec.Code != 400 {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	v := want[sourceView](t, 200, w.as(account.GroupOwner, get, sourcesPath+"/"+made.ID, ""))
	if v.Atlas.URL != client.Atlas || v.Atlas.ClientID != "mdb_sa_id_x" {
		t.Errorf("%+v", v.Atlas)
	}
	rec := w.as(account.GroupOwner, patch, sourcesPath+"/"+made.ID,
		`{"atlas":{"baseUrl":"https://other.example","publicKey":"abcdefgh","privateKey":"c"}}`)
	if v := want[sourceView](t, 200, rec); v.Atlas.ClientID != "" || v.Atlas.PublicKey != "abcdefgh" {
		t.Errorf("%+v", v.Atlas)
	}
}

func TestSourceIsChecked(t *testing.T) {
	w := newWorld(t, Options{})
	for _, body := range []string{`{}`, `{"name":"a","type":"ATLAS"}`, `{"name":"a","type":"FTP","atlas":{}}`,
		`{"name":"a","type":"ATLAS","atlas":{}}`, `{"name":"a","type":"ATLAS","atlas":{"clientId":"a"}}`,
		`{"name":"a","type":"ATLAS","intervalSeconds":1,"atlas":{"clientId":"a","clientSecret":"b"}}`} {
		if rec := w.as(account.GroupOwner, post, sourcesPath, body); rec.Code != 400 {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	for _, part := range []string{`"baseUrl":"http://example.org"`, `"baseUrl":"https://a:b@example.org"`,
		`"baseUrl":"https://"`, `"baseUrl":"https://example.org?x"`, `"baseUrl":"file:///etc/passwd"`, `"collect":[]`,
		`"collect":["ALL"]`, `"projectIds":["x"]`, `"workspaceNames":[""]`, `"workspaceNaming":"{project}"`,
		`"workspaceNaming":"{workspace}/x"`, `"caCertificates":"x"`, `"clientSecret":"a\nb"`} {
		body := `{"name":"a","type":"ATLAS","atlas":{"clientId":"a","clientSecret":"b",` + part + `}}`
		if rec := w.as(account.GroupOwner, post, sourcesPath, body); rec.Code != 400 {
			t.Errorf("%s: %d %s", part, rec.Code, rec.Body)
		}
	}
}

// An update keeps other attributes, a deleted source does not exist any more, and each change is recorded.
func TestSourceComesAndGoes(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.source(goodSource)
	path := sourcesPath + "/" + made.ID
	paused := want[sourceView](t, 200, w.as(account.GroupOwner, patch, path, `{"paused":true,"name":"b"}`))
	if !paused.Paused || paused.Name != "b" || paused.Interval != 300 {
		t.Errorf("%+v", paused)
	}
	if rec := w.as(account.GroupOwner, remove, path, ""); rec.Code != 204 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for _, p := range []string{path, path + "/status"} {
		if rec := w.as(account.GroupOwner, get, p, ""); rec.Code != 404 {
			t.Errorf("%s: %d %s", p, rec.Code, rec.Body)
		}
	}
	w.sequence()
	text := strings.Join(w.lines(w.get("/api/weir/v1/groups/"+projectID+"/logs/"+projectID, account.GroupOwner)), "")
	for _, operation := range []string{"createGroupSource", "updateGroupSource", "deleteGroupSource"} {
		if !strings.Contains(text, `"atype":"`+operation+`"`) {
			t.Errorf("no event of %s", operation)
		}
	}
}

const goodKafka = `{"name":"topics","type":"KAFKA","kafka":{"bootstrapServers":"k.example.com:9093","topics":["a"],` +
	`"mapping":"RAW","mechanism":"PLAIN","username":"u","password":"very secret"}}`

// A source of topics is shown without its password, which stays with its brokers and its user.
func TestKafkaSourceIsChecked(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.source(goodKafka)
	path := sourcesPath + "/" + made.ID
	if made.Type != "KAFKA" || made.Interval != 60 || made.Kafka.Password != "" || made.Kafka.Username != "u" {
		t.Errorf("%+v", made)
	}
	for _, part := range []string{`"bootstrapServers":"attacker.example:9093"`, `"username":"v"`,
		`"mechanism":"SCRAM-256"`, `"caCertificate":"x"`, `"mapping":"AVRO"`, `"topics":[]`, `"topicPattern":"("`,
		`"password":""`, `"timeField":"at"`, `"workspaceNaming":"a b"`} {
		if rec := w.as(account.GroupOwner, patch, path, `{"kafka":{`+part+`}}`); rec.Code != 400 {
			t.Errorf("%s: %d %s", part, rec.Code, rec.Body)
		}
	}
	for _, body := range []string{`{"atlas":{"clientId":"a","clientSecret":"b"}}`, `{"type":"ATLAS"}`} {
		if rec := w.as(account.GroupOwner, patch, path, body); rec.Code != 400 {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	changed := want[sourceView](t, 200, w.as(account.GroupOwner, patch, path,
		`{"kafka":{"topicPattern":"b.*","mapping":"JSON","timeField":"at"}}`))
	if changed.Kafka.Pattern != "b.*" || len(changed.Kafka.Topics) > 0 {
		t.Errorf("%+v", changed.Kafka)
	}
	s, err := w.options.Sources.Get(context.Background(), projectID, made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.options.Sources.Show(s, s.Kafka.Password); got != "very secret" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	open := want[sourceView](t, 200, w.as(account.GroupOwner, patch, path, `{"kafka":{"mechanism":"","username":""}}`))
	if s, err = w.options.Sources.Get(context.Background(), projectID, made.ID); err != nil || s.Kafka.Password != "" ||
		open.Kafka.Mechanism != "" {
		t.Errorf("without a user it keeps a password: %+v, %v", s.Kafka, err)
	}
}
