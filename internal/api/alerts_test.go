package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/doc"
)

const (
	alertsPath    = "/api/weir/v1/groups/" + projectID + "/alerts"
	notifiersPath = "/api/weir/v1/groups/" + projectID + "/alertNotifiers"
)

// alerts creates a rule and a notifier in a project, and returns their ids.
func (w *world) alerts(project string) (ruleID, notifierID string) {
	w.t.Helper()
	r := rule.Rule{ID: account.NewID(now), Created: now, Since: now, Definition: rule.Definition{Name: "filled",
		Kind: rule.Threshold, Query: "outcome:failure", Count: 3, Within: rule.Duration(time.Hour)}}
	n := notify.Notifier{ID: account.NewID(now), Created: now, Name: "filled", Type: notify.Webhook,
		URL: "https://hooks.example.org/1"}
	var err error
	n.Secret, err = w.options.Box.Hide(notify.SecretPlace(project, n.ID), "whsec_"+strings.Repeat("YWJj", 10))
	if err == nil {
		_, err = w.options.Alerts.UpdateOrCreate(context.Background(), project, func(s *alert.Set) error {
			s.Project, s.Rules, s.Notifiers = project, []rule.Rule{r}, []notify.Notifier{n}
			return nil
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ID, n.ID
}

const failedLogons = `{"name":"failed-logons","kind":"threshold","query":"class:authentication outcome:failure",` +
	`"count":5,"within":"10m","by":["from"],"severity":"high"}`

func (w *world) own(method, path, body string, status int) map[string]any {
	w.t.Helper()
	return want[map[string]any](w.t, status, w.as(account.GroupOwner, method, path, body))
}

func TestAlertRulesAreKept(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.own(post, alertsPath, failedLogons, 201)
	for _, key := range []string{made["id"].(string), "failed-logons"} {
		got := w.own(get, alertsPath+"/"+key, "", 200)
		if got["within"] != "10m" || got["count"] != 5.0 || got["id"] != made["id"] || got["severity"] != "high" {
			t.Errorf("%s: %v", key, got)
		}
	}
	changed := w.own(patch, alertsPath+"/failed-logons", `{"count":7,"by":null,"description":"x"}`, 200)
	if changed["count"] != 7.0 || changed["by"] != nil || changed["description"] != "x" || changed["within"] != "10m" {
		t.Errorf("changed: %v", changed)
	}
	if all := w.own(get, alertsPath, "", 200); all["totalCount"] != 1.0 {
		t.Errorf("%v", all)
	}
	if code := w.as(account.GroupOwner, remove, alertsPath+"/failed-logons", "").Code; code != 204 {
		t.Errorf("delete: %d", code)
	}
	if rec := w.as(account.GroupOwner, get, alertsPath+"/failed-logons", ""); rec.Code != 404 {
		t.Errorf("deleted: %d %s", rec.Code, rec.Body)
	}
	w.own(post, alertsPath, failedLogons, 201) // the name is free again
}

// If the condition of a rule changes, the rule starts again. Other changes have no such effect.
func TestRuleBeginsAnewWhenItLooksForSomethingElse(t *testing.T) {
	w := newWorld(t, Options{})
	w.own(post, alertsPath, failedLogons, 201)
	past := now.Add(-time.Hour)
	if _, err := w.options.Alerts.Update(t.Context(), projectID, func(s *alert.Set) error {
		s.Rules[0].Since = past
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		body string
		anew bool
	}{{`{"description":"x","severity":"low"}`, false}, {`{"count":5}`, false}, {`{"count":6}`, true}} {
		got := w.own(patch, alertsPath+"/failed-logons", tt.body, 200)["evaluatedSince"].(string)
		if at, err := time.Parse(time.RFC3339, got); err != nil || at.Equal(past) == tt.anew {
			t.Errorf("%s: since %s", tt.body, got)
		}
	}
}

func TestWrongAlertRulesAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	w.own(post, alertsPath, failedLogons, 201)
	for body, says := range map[string]string{
		failedLogons: "failed-logons",
		strings.Replace(failedLogons, "failed-logons", "Failed Logons", 1):                     "name",
		strings.Replace(failedLogons, "failed-logons", "6a793f48c0eb9e7a17712f00", 1):          "name",
		strings.Replace(failedLogons, `"count"`, `"cuont"`, 1):                                 "cuont",
		strings.Replace(failedLogons, `"count":5`, `"count":0`, 1):                             "count",
		strings.Replace(failedLogons, `"count":5`, `"count":5,"fewerThan":1`, 1):               "fewerThan",
		strings.Replace(failedLogons, `10m`, `10 minutes`, 1):                                  "whole number",
		strings.Replace(failedLogons, `10m`, `9999w`, 1):                                       "within",
		strings.Replace(failedLogons, `outcome:failure`, `time > now-1d`, 1):                   "relative to now",
		strings.Replace(failedLogons, `outcome:failure`, `outcome=failure`, 1):                 "column",
		strings.Replace(failedLogons, `"by"`, `"outside":"Mon-Fri 8-18 Mars/Olympus","by"`, 1): "outside",
		strings.Replace(failedLogons, `"by"`, `"notify":["nobody"],"name":"x","by"`, 1):        "nobody",
		strings.Replace(failedLogons, `threshold`, `sequence`, 1):                              "kind",
		`{"name":"x","kind":"newValue","query":"","field":"who"}`:                              "notSeenFor",
		`[]`:              "body",
		`{"name":"x"} {}`: "JSON",
		`{"by":["a","b","c","d"],"name":"x","kind":"absence","fewerThan":1,"within":"1h"}`: "by",
	} {
		rec := w.as(account.GroupOwner, post, alertsPath, body)
		if rec.Code != 400 && rec.Code != 409 || !strings.Contains(rec.Body.String(), says) {
			t.Errorf("%s: %d %s, want %q", body, rec.Code, rec.Body, says)
		}
	}
}

func TestProjectHasAtMost100AlertRules(t *testing.T) {
	w := newWorld(t, Options{})
	for i := range alert.MaxRules {
		w.own(post, alertsPath, strings.Replace(failedLogons, "failed-logons", fmt.Sprint("rule-", i), 1), 201)
	}
	if rec := w.as(account.GroupOwner, post, alertsPath, failedLogons); rec.Code != 400 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// The secret of a notifier is nowhere in the bucket, and is shown only to the caller that creates the notifier.
func TestSecretsOfNotifiersAreHidden(t *testing.T) {
	w := newWorld(t, Options{})
	hook := w.own(post, notifiersPath, `{"name":"hook","type":"WEBHOOK","url":"https://hooks.example.org/a"}`, 201)
	mail := w.own(post, notifiersPath, goodBodies[[2]string{"POST", ownGroup + "/alertNotifiers"}], 201)
	made, _ := hook["secret"].(string)
	if !strings.HasPrefix(made, "whsec_") || mail["secret"] != nil || mail["maskedSecret"] != "********" {
		t.Errorf("made %v, %v", hook, mail)
	}
	w.sequence()
	for _, path := range []string{notifiersPath, notifiersPath + "/hook"} {
		if text := w.as(account.GroupReadOnly, get, path, "").Body.String(); strings.Contains(text, made) ||
			!strings.Contains(text, "********") {
			t.Errorf("%s: %s", path, text)
		}
	}
	for info := range w.faulty.List(t.Context(), "", "") {
		data, err := bucket.Read(t.Context(), w.faulty, info.Key, bucket.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "sesame") || strings.Contains(string(data), made[6:]) {
			t.Errorf("%s holds a secret", info.Key)
		}
	}
}

// A secret that was given for one server is not sent to another one that somebody else names.
func TestSecretDoesNotGoElsewhere(t *testing.T) {
	w := newWorld(t, Options{})
	w.own(post, notifiersPath, goodBodies[[2]string{"POST", ownGroup + "/alertNotifiers"}], 201)
	for _, body := range []string{`{"address":"evil.example.org:587"}`, `{"username":"other"}`, `{"security":"TLS"}`} {
		rec := w.as(account.GroupOwner, patch, notifiersPath+"/made", body)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	w.own(patch, notifiersPath+"/made", `{"address":"mail.example.org:465","security":"TLS","secret":"other"}`, 200)
	w.own(patch, notifiersPath+"/made", `{"to":["a@example.org"]}`, 200)
}

func TestWrongNotifiersAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	for body, says := range map[string]string{
		`{"name":"x","type":"PAGER"}`:                                                                        "type",
		`{"name":"x","type":"WEBHOOK"}`:                                                                      "url",
		`{"name":"x","type":"WEBHOOK","url":"ftp://example.org"}`:                                            "url",
		`{"name":"x","type":"WEBHOOK","url":"https://u:p@example.org"}`:                                      "url",
		`{"name":"x","type":"WEBHOOK","url":"https://example.org","secret":"short"}`:                         "secret",
		`{"name":"x","type":"ALERTMANAGER","url":"http://example.org","secret":"s"}`:                         "https",
		`{"name":"x","type":"ALERTMANAGER","url":"https://example.org","username":"u"}`:                      "password",
		`{"name":"x","type":"ALERTMANAGER","url":"https://example.org","ca":"no certificate"}`:               "ca",
		`{"name":"x","type":"SMTP","address":"example.org","from":"a@b.c","to":["a@b.c"]}`:                   "address",
		`{"name":"x","type":"SMTP","address":"example.org:25","from":"a@b.c","to":[]}`:                       "to",
		`{"name":"x","type":"SMTP","address":"example.org:25","from":"a@b.c\r\nBcc: x","to":["a@b.c"]}`:      "from",
		`{"name":"x","type":"SMTP","address":"example.org:25","from":"a@b.c","to":["a@b.c"],"username":"u"}`: "username",
	} {
		rec := w.as(account.GroupOwner, post, notifiersPath, body)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), says) {
			t.Errorf("%s: %d %s, want %q", body, rec.Code, rec.Body, says)
		}
	}
}

func TestNotifierThatARuleNamesStays(t *testing.T) {
	w := newWorld(t, Options{})
	w.own(post, notifiersPath, `{"name":"hook","type":"WEBHOOK","url":"https://hooks.example.org/a"}`, 201)
	w.own(post, alertsPath, strings.Replace(failedLogons, `"by"`, `"notify":["hook"],"by"`, 1), 201)
	if rec := w.as(account.GroupOwner, remove, notifiersPath+"/hook", ""); rec.Code != 409 {
		t.Errorf("delete: %d %s", rec.Code, rec.Body)
	}
	w.own(patch, notifiersPath+"/hook", `{"name":"other"}`, 200)
	if got := fmt.Sprint(w.own(get, alertsPath+"/failed-logons", "", 200)["notify"]); got != "[other]" {
		t.Errorf("the rule names %s", got)
	}
	w.own(patch, alertsPath+"/failed-logons", `{"notify":null}`, 200)
	if rec := w.as(account.GroupOwner, remove, notifiersPath+"/other", ""); rec.Code != 204 {
		t.Errorf("delete: %d %s", rec.Code, rec.Body)
	}
}

// The status of a rule shows its progress and its alerts, and no value of an event.
func TestStatusOfAnAlertRule(t *testing.T) {
	w := newWorld(t, Options{})
	ruleID, notifierID := w.alerts(projectID)
	path := alertsPath + "/filled/status"
	if got := w.own(get, path, "", 200); got["state"] != rulePending {
		t.Errorf("before: %v", got)
	}
	s := rule.NewState(&rule.Rule{Since: now})
	s.Next["6a793f48c0eb9e7a17712f00"], s.Read = 7, now.UnixMilli()
	s.Alerts = []*rule.Alert{{ID: "a1", Cause: rule.Fired, Group: []string{"anna"}, From: 1, Fired: 2,
		Sent: map[string]rule.Sent{notifierID: {Count: 1, At: now, Error: "status 500"}}}}
	if err := doc.Write(t.Context(), w.faulty, "alertstate/"+ruleID, 0, s); err != nil {
		t.Fatal(err)
	}
	got := w.own(get, path, "", 200)
	text, err := json.Marshal(got)
	if err != nil || got["state"] != ruleFiring || strings.Contains(string(text), "anna") {
		t.Errorf("%s, %v", text, err)
	}
	for _, part := range []string{`"nextEntry":7`, `"notifier":"filled"`, `"state":"FIRED"`, `"error":"status 500"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
}
