package source

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/collect"
)

func TestWorkspacesAreNamedForTheirPlace(t *testing.T) {
	at := collect.Place{ProjectID: "6a793f48c0eb9e7a17712f00", Project: "My Shop (EU)", Name: "prod"}
	for pattern, want := range map[string]string{
		"": "My-Shop-EU-prod", "{workspace}": "prod", "atlas-{workspace}": "atlas-prod",
		"{projectId}_{workspace}": "6a793f48c0eb9e7a17712f00_prod",
	} {
		a := AtlasSettings{Naming: pattern}
		if got := WorkspaceName(a.Pattern(), at); got != want {
			t.Errorf("%q: %s, want %s", pattern, got, want)
		}
	}
	if a := (AtlasSettings{Projects: []string{at.ProjectID}}); WorkspaceName(a.Pattern(), at) != "prod" {
		t.Error("of one project workspaces keep their names")
	}
}

// Whatever the source calls its things, there is a name that a workspace may have, and one that no other place has.
func TestEveryPlaceHasAName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := collect.Place{ProjectID: rapid.String().Draw(t, "id"), Project: rapid.String().Draw(t, "project"),
			Name: rapid.String().Draw(t, "name")}
		other := at
		other.Name += "x"
		name := WorkspaceName("{project}-{workspace}", at)
		for _, name := range []string{name, DistinctName(name, at)} {
			if _, err := account.NewWorkspace(name, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
		kind := at
		kind.Kind = "PROJECT_EVENTS"
		for _, other := range []collect.Place{other, kind} {
			if DistinctName(name, at) == DistinctName(name, other) {
				t.Fatalf("%q and %q have one name", at, other)
			}
		}
	})
}

func TestNamingIsChecked(t *testing.T) {
	for pattern, want := range map[string]bool{"{workspace}": true, "{project}-{workspace}": true,
		"{projectId}_a-{workspace}": true, "": false, "all": false, "{project}": false, "{workspace}/": false,
		"{workspace}{other}": false, "{workspace}" + strings.Repeat("x", 200): false} {
		if got := CheckNaming(pattern); got != want {
			t.Errorf("%q: %t", pattern, got)
		}
	}
}
