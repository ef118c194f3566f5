package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weirlog/weir/internal/bucket/location"
)

// Roles are what a node does. It is a flag: names between commas, or "all".
type Roles struct {
	Ingest     bool // takes events
	Read       bool // serves logs
	Background bool // sequences, merges, removes what is no longer to be kept
}

var everything = Roles{true, true, true}

// api tells whether the node has an API. Accounts and tokens are served with either role.
func (r Roles) api() bool { return r.Ingest || r.Read }

func (r *Roles) named() map[string]*bool {
	return map[string]*bool{"ingest": &r.Ingest, "read": &r.Read, "background": &r.Background}
}

func (r *Roles) String() string {
	var names []string
	for _, name := range []string{"ingest", "read", "background"} {
		if *r.named()[name] {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

func (r *Roles) Set(value string) error {
	*r = Roles{}
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		if name == "all" {
			*r = everything
			continue
		}
		field := r.named()[name]
		if field == nil {
			return fmt.Errorf("%q is not a role: want ingest, read, background or all", name)
		}
		*field = true
	}
	return nil
}

func (r *Roles) Type() string { return "roles" }

func (c *Config) checkRoles() error {
	switch {
	case c.Roles == Roles{}:
		return errors.New("--role must not be empty: want some of ingest, read, background, or all")
	case c.Dev && c.Roles != everything:
		return errors.New("--dev needs all roles: leave --role out")
	case !c.Roles.Background && !location.IsS3(c.Bucket):
		return fmt.Errorf("--role %s: one process has a folder for itself, so nobody would do the background work; add background", c.Roles.String())
	}
	return nil
}
