package profile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/weirlog/weir/client"
)

// servicePrefix begins the client ids of service accounts.
const servicePrefix = "mdb_sa_id_"

// SetCredential sets what signs in: the client id and secret of a service account, or the halves of an API key.
func (p *Profile) SetCredential(id, secret string) {
	p.ClientID, p.ClientSecret, p.PublicKey, p.PrivateKey = "", "", "", ""
	if strings.HasPrefix(id, servicePrefix) {
		p.ClientID, p.ClientSecret = id, secret
	} else {
		p.PublicKey, p.PrivateKey = id, secret
	}
}

// Try asks the profile's server whether the credential is valid, and whether there is the organization, the project and
// the workspace, as far as they are named and the credential's roles let it look. Errors of the server are
// *client.Error (wrapped).
func (p Profile) Try(ctx context.Context, c *client.Client) error {
	const base = "/api/atlas/v2/"
	if _, err := c.Call(ctx, http.MethodGet, base+"groups", url.Values{"itemsPerPage": {"1"}}, nil); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	project := base + "groups/" + url.PathEscape(p.Project)
	for _, named := range []struct{ what, name, path string }{
		{"organization", p.Organization, base + "orgs/" + url.PathEscape(p.Organization)},
		{"project", p.Project, project},
		{"workspace", p.Workspace, project + "/streams/" + url.PathEscape(p.Workspace)},
	} {
		if named.name == "" {
			continue
		}
		_, err := c.Call(ctx, http.MethodGet, named.path, nil, nil)
		if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusForbidden {
			continue // such as to a role that only records
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", named.what, named.name, err)
		}
	}
	return nil
}
