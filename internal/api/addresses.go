package api

import (
	"net/url"
	"strings"

	"github.com/weirlog/weir/internal/account"
)

// shown returns the URL of a webhook as the caller may see it. The part behind the host is often enough to send there,
// so only owners of the project see it.
func (c *call) shown(address string) string {
	if address == "" || c.caller.May(account.Own, c.scope.project) {
		return address
	}
	return masked(address)
}

// masked returns an address without its path, which may be a secret.
func masked(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "…"
	}
	whole := url.URL{Scheme: u.Scheme, Host: u.Host}
	if origin := whole.String(); strings.TrimSuffix(address, "/") != origin {
		return origin + "/…"
	}
	return address
}
