// Package auth turns an HTTP request into the credential that made it: OAuth 2.0 bearer tokens of service
// accounts, HTTP Digest of API keys, access lists, and limits on failures.
package auth

import (
	"net/netip"

	"github.com/weirlog/weir/internal/account"
)

// Principal is an authenticated caller.
type Principal struct {
	Credential *account.Credential // read only
	Address    netip.Addr
}
