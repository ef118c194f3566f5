package api

import (
	"net/url"
	"regexp"
	"strings"

	"filippo.io/torchwood"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert/rule"
)

// identifier is a variable of paths, with the form of its values. A value of another form gets the same error as a
// thing that does not exist.
type identifier struct {
	name  string
	valid func(string) bool
	wrong func(c *call, value string) *problem
}

var workspaceName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// identifiers lists all variables of paths, in the order in which they are checked. A value of another form is refused
// before anything is looked up, stored or logged under it.
var identifiers = []identifier{
	{"orgId", account.ValidID, func(_ *call, v string) *problem { return invalidOrgID(v) }},
	{"groupId", account.ValidID, func(_ *call, v string) *problem { return invalidGroupID(v) }},
	{"groupName", func(v string) bool { return entityName().MatchString(v) },
		func(_ *call, v string) *problem { return groupNameNotFound(v) }},
	{"tenantName", workspaceName.MatchString, func(c *call, v string) *problem {
		return tenantNotFound(v,
			c.path("groupId"))
	}},
	{"apiUserId", account.ValidID, func(_ *call, v string) *problem { return keyNotFound(v) }},
	{"clientId", clientID.MatchString, func(_ *call, v string) *problem { return serviceAccountNotFound(v) }},
	{"tokenId", isIngestTokenID, func(_ *call, v string) *problem { return ingestTokenNotFound(v) }},
	{"integrationId", account.ValidID, func(_ *call, v string) *problem { return integrationNotFound(v) }},
	{"alertId", rule.ValidKey, func(_ *call, v string) *problem { return alertNotFound(v) }},
	{"notifierId", rule.ValidKey, func(_ *call, v string) *problem { return notifierNotFound(v) }},
	{"sourceId", account.ValidID, func(_ *call, v string) *problem { return sourceNotFound(v) }},
	{"secretId", account.ValidID, func(_ *call, v string) *problem { return secretNotFound(v) }},
	{"ipAddress", isBlock, func(_ *call, v string) *problem { return accessNotFound(v) }},
	{"entryValue", func(v string) bool { return isBlock(v) || isSecurityGroup(v) },
		func(c *call, v string) *problem { return networkNotFound(v, c.path("groupId")) }},
	{"logId", account.ValidID, func(_ *call, v string) *problem { return logNotFound(v) }},
	{"tile", isTile, func(c *call, _ string) *problem { return resourceNotFound(c.r.URL.Path) }},
}

func isIngestTokenID(id string) bool { return account.ValidCredentialID(account.IngestToken, id) }

// maxGroupName bounds the name of an AWS security group, in bytes.
const maxGroupName = 64

func isBlock(text string) bool {
	_, err := blockInPath(text)
	return err == nil
}

func isSecurityGroup(text string) bool {
	once, err := url.PathUnescape(text)
	return err == nil && len(once) <= maxGroupName && securityGroup.MatchString(once)
}

// clientID is the form of a service account's id in the OpenAPI document. weir stores it in lower case.
var clientID = regexp.MustCompile(`^mdb_sa_id_[0-9a-fA-F]{24}$`)

// clientIDOf returns the id of a service account in lower case. A text of another form is returned unchanged.
func clientIDOf(text string) string {
	if clientID.MatchString(text) {
		return strings.ToLower(text)
	}
	return text
}

func isTile(path string) bool {
	_, err := torchwood.ParseTilePath("tile/" + path)
	return err == nil
}

// checkPath returns an error if an identifier in the path does not have its form.
func (c *call) checkPath() error {
	for _, id := range identifiers {
		if v := c.path(id.name); (v != "" || c.names(id.name)) && !id.valid(v) {
			return id.wrong(c, v)
		}
	}
	return nil
}

// names tells whether the operation's path has a variable.
func (c *call) names(variable string) bool {
	return variablesOf(c.operation.path)[variable]
}
