package account

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The tables of docs/access.md list the allowed actions of each role.
func TestDocsHaveTheRoles(t *testing.T) {
	text, err := os.ReadFile("../../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`((?:ORG|GROUP)_[A-Z_]+)`")
	for _, table := range []struct {
		head    string
		columns int // before the columns of the actions
		actions []Action
		roles   []Role
	}{
		{"| role | given on |", 2, []Action{See, Read, Download, Record, ManageWorkspaces, Own},
			slices.Concat(Roles(false), Roles(true))},
		{"| role | sees it,", 1, []Action{SeeOrg, ReadOrg, CreateProjects, OwnOrg}, Roles(true)},
	} {
		_, rows, found := strings.Cut(string(text), "\n"+table.head)
		if !found {
			t.Fatalf("no table begins with %s", table.head)
		}
		rows, _, _ = strings.Cut(rows, "\n\n")
		listed := map[Role]bool{}
		for row := range strings.Lines(rows) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
			for _, m := range name.FindAllStringSubmatch(cells[0], -1) {
				role := Role(m[1])
				listed[role] = true
				for i, action := range table.actions {
					says := strings.TrimSpace(cells[table.columns+i]) == "yes"
					if may := slices.Contains(allowed[role], action); says != may {
						t.Errorf("%s, column %d: the table says %t, and the code %t", role, table.columns+i+1, says, may)
					}
				}
			}
		}
		for _, role := range table.roles {
			if !listed[role] {
				t.Errorf("the table that begins with %s lacks %s", table.head, role)
			}
		}
	}
}
