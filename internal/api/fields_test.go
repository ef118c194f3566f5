package api

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// fieldsOf returns the fields in a reply, by name.
func fieldsOf(t *testing.T, rec *httptest.ResponseRecorder) (fieldsView, map[string]fieldView) {
	t.Helper()
	var v fieldsView
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || rec.Code != 200 {
		t.Fatalf("%d %.500s: %v", rec.Code, rec.Body, err)
	}
	named := map[string]fieldView{}
	for _, f := range v.Fields {
		named[string(f.Field)] = f
	}
	return v, named
}

func TestFieldsOfEvents(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(20)
	for _, sequenced := range []bool{false, true} {
		if sequenced {
			w.sequence()
		}
		v, named := fieldsOf(t, w.get(asking(eventsPath+":fields", "q=n:*"), account.GroupDataAccessReadOnly))
		if v.Total != 20 || v.Fields[0].Field != "who" || !v.Fields[0].Alias {
			t.Errorf("sequenced %t: %d events, first field %+v", sequenced, v.Total, v.Fields[0])
		}
		who, n := named["who"], named["n"]
		if who.Events != 20 || who.Values != 3 || who.More || !slices.Equal(who.Examples, []any{"u0", "u1", "u2"}) ||
			!slices.Equal(who.Types, []string{"string"}) {
			t.Errorf("sequenced %t: %+v", sequenced, who)
		}
		if !slices.Equal(n.Types, []string{"number"}) || n.Events < 20 || len(n.Examples) == 0 {
			t.Errorf("sequenced %t: %+v", sequenced, n)
		}
		if _, ok := named["unmapped.weir.by"]; !ok {
			t.Errorf("sequenced %t: weir's own facts are no field", sequenced)
		}
		v, _ = fieldsOf(t, w.get(asking(eventsPath+":fields", "q=nothing.like.this:1"), account.GroupOwner))
		if v.Total != 0 || v.Fields == nil || len(v.Fields) != 0 {
			t.Errorf("sequenced %t: fields of nothing: %+v", sequenced, v)
		}
	}
}

// A query with a field that no event has finds nothing, and the reply names similar fields.
func TestHintsNameTheNearestFields(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(20)
	for q, want := range map[string]string{
		"actor.user.nmae:u1":       `"hints":[{"field":"actor.user.nmae","near":["actor.user.name"`,
		"user.name:u1 n:1":         `"hints":[{"field":"user.name","near":["actor.user.name"`,
		"zzzzzzzzzzzz:1 or whom:1": `"hints":[{"field":"zzzzzzzzzzzz","near":[]},{"field":"whom","near":["who"`,
		"actor.user.name:nobody":   "",
		"who:nobody":               "",
		"nobody":                   "",
		"who:u1 or whoo:u1":        "",
	} {
		for _, path := range []string{eventsPath, eventsPath + ":summary"} {
			rec := w.get(asking(path, "q="+q), account.GroupOwner)
			if rec.Code != 200 || !strings.Contains(rec.Body.String(), want) ||
				want == "" && strings.Contains(rec.Body.String(), "hints") {
				t.Errorf("%s, %s: %d %s", path, q, rec.Code, rec.Body)
			}
		}
	}
}

// Hints name no fields of logs that the caller may not read, or did not select.
func TestHintsAreOfTheLogsAskedFor(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(3)
	rec := w.get(asking(eventsPath, "q=actor.user.nmae:u1", "log="+w.project.Workspaces[1].AuditLog), account.GroupOwner)
	if rec.Code != 200 || strings.Contains(rec.Body.String(), "actor.user.name") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
