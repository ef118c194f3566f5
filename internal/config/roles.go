package config

import (
	"fmt"
	"strings"
)

// Roles are the roles of a node.
type Roles struct {
	Ingest     bool // It takes events.
	Read       bool // It serves logs.
	Background bool // It sequences, merges, and removes entries by retention.
}

// AllRoles are the roles of a node that does everything.
var AllRoles = Roles{true, true, true}

// API tells whether the node has an API. Accounts and tokens are served by nodes with either role.
func (r Roles) API() bool { return r.Ingest || r.Read }

func (r *Roles) named() map[string]*bool {
	return map[string]*bool{"ingest": &r.Ingest, "read": &r.Read, "background": &r.Background}
}

// String returns the names of the roles between commas, as ParseRoles reads them.
func (r Roles) String() string {
	var names []string
	for _, name := range []string{"ingest", "read", "background"} {
		if *r.named()[name] {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseRoles reads names of roles between commas, or "all".
func ParseRoles(text string) (Roles, error) {
	var r Roles
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "all" {
			r = AllRoles
			continue
		}
		field := r.named()[name]
		if field == nil {
			return r, fmt.Errorf("%.40q is not a role: want ingest, read, background or all", name)
		}
		*field = true
	}
	return r, nil
}
