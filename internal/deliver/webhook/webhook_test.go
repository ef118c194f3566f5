package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/delivertest"
)

var secret = "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))

func open(t *testing.T, s *delivertest.Server) *Sink {
	t.Helper()
	settings := Settings{URL: s.URL + "/hook?a=b", Secret: secret}
	return delivertest.Open(t, settings, New)
}

// The library of Standard Webhooks verifies the requests.
func TestARequestIsAStandardWebhook(t *testing.T) {
	s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer { return delivertest.Answer{Status: 204} })
	batch := delivertest.Batch(3, 20)
	if refused, err := open(t, s).Send(t.Context(), batch); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	asked := s.Asked()[0]
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(asked.Body, asked.Header); err != nil || asked.Path != "/hook?a=b" {
		t.Errorf("%s: %v", asked.Path, err)
	}
	if id := asked.Header.Get("Webhook-Id"); id != delivertest.Log+"/3-22" {
		t.Errorf("id %s", id)
	}
	asked.Header.Set("Webhook-Id", "another")
	if verifier.Verify(asked.Body, asked.Header) == nil {
		t.Error("the signature is not of the id")
	}
	var body struct {
		Type string
		Data struct {
			LogID, LogName string
			Events         []struct {
				ID    string
				Event json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(asked.Body, &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "weir.events" || body.Data.LogID != delivertest.Log || body.Data.LogName != batch[0].Name ||
		len(body.Data.Events) != len(batch) {
		t.Fatalf("%+v", body)
	}
	for i, e := range body.Data.Events {
		if e.ID != batch[i].ID() || string(e.Event) != string(batch[i].Line) {
			t.Errorf("event %s is %s", e.ID, e.Event)
		}
	}
}

func TestRepliesSayIfTheBatchIsAccepted(t *testing.T) {
	for status, want := range map[int]struct{ accepted, tooMuch bool }{200: {true, false}, 202: {true, false},
		204: {true, false}, 301: {}, 400: {false, true}, 401: {}, 404: {}, 410: {}, 413: {false, true},
		422: {false, true}, 429: {}, 500: {}, 503: {}} {
		s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer {
			return delivertest.Answer{Status: status}
		})
		_, err := open(t, s).Send(t.Context(), delivertest.Batch(0, 2))
		if want.accepted != (err == nil) || want.tooMuch != errors.Is(err, deliver.ErrTooMuch) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	short := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23))
	long := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65))
	for _, s := range []Settings{{"https://example.org", "", ""}, {"https://example.org", "whsec_%%%", ""},
		{"https://example.org", short, ""}, {"https://example.org", long, ""}, {"", secret, ""},
		{"https://example.org", secret, "x"}} {
		var wrong deliver.Wrong
		if s.Check(&wrong); len(wrong.Attributes) == 0 {
			t.Errorf("%+v is taken", s)
		}
	}
}
