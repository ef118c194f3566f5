// Package account knows organizations, projects with their workspaces, and the credentials that act on them. They are
// stored as versioned documents in the bucket.
package account

import (
	"encoding/json"
	"maps"
	"net/netip"
	"time"
)

// Organization owns projects and credentials.
type Organization struct {
	ID      string    `json:"id"` // 24 hex digits
	Name    string    `json:"name"`
	Log     string    `json:"log"` // id of the organization's own log
	Created time.Time `json:"created"`
	Deleted time.Time `json:"deleted,omitzero"` // zero if it is not deleted

	SkipAlerts bool `json:"skipDefaultAlertsSettings,omitempty"` // stored and returned only: weir has no alerts
	Kept       Kept `json:"settings,omitempty"`

	// Owners of an organization may make others, and those of these again. Root is the first of them, whose Made has all
	// others, or had them before they were deleted. Root is empty for an organization that no other one has made.
	Root string   `json:"root,omitempty"`
	Made []string `json:"made,omitempty"`
}

// Kept is settings that Atlas has and weir only stores, by their names in its API.
type Kept map[string]json.RawMessage

// With returns a copy of k in which some settings are changed.
func (k Kept) With(changed Kept) Kept {
	all := Kept{}
	maps.Copy(all, k)
	maps.Copy(all, changed)
	return all
}

// Project ("group" in Atlas's API) holds workspaces. The project's own log records the operations on it, and has the id
// of the project.
type Project struct {
	ID         string             `json:"id"` // 24 hex digits
	Org        string             `json:"org"`
	Name       string             `json:"name"` // unique in its organization
	Created    time.Time          `json:"created"`
	Deleted    time.Time          `json:"deleted,omitzero"` // zero if it is not deleted
	Tags       []Tag              `json:"tags,omitempty"`
	Retention  Retention          `json:"retention,omitzero"`
	Workspaces []Workspace        `json:"workspaces"`
	Gone       []DeletedWorkspace `json:"gone,omitempty"` // deleted workspaces whose logs are kept
	Network    []NetworkEntry     `json:"network,omitempty"`
	// ids of credentials that may have roles on the project; the credentials say which
	Members []string `json:"members,omitempty"`

	// These are stored for the owner only, since weir has neither alerts nor regions.
	NoAlerts bool   `json:"withoutDefaultAlertsSettings,omitempty"`
	Regions  string `json:"regionUsageRestrictions,omitempty"` // empty if it was not set
	Kept     Kept   `json:"settings,omitempty"`
}

// Tag is a name and a value that a user has given a project.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Retention says how long a project's logs are kept. By default a log is kept for ever, and for 30 days after its
// workspace was deleted.
type Retention struct {
	DeletedDays int  `json:"deletedLogRetentionDays,omitempty"` // after the workspace is deleted (default and least 30)
	Days        int  `json:"retentionDays,omitempty"`           // of other logs, at least 30; 0 means for ever
	Hold        bool `json:"legalHold,omitempty"`               // if set, nothing is removed
}

// MinRetentionDays is the shortest time for which events are kept.
const MinRetentionDays = 30

// Kept returns the number of days for which logs are kept after their workspace was deleted.
func (r Retention) Kept() int { return max(r.DeletedDays, MinRetentionDays) }

// Limit returns two moments: events of living logs before the first are too old, and if there are events before the
// second, they must be removed. The time between these is half a day, or 2.5 % of the limit if that is more, so that a
// segment is not rewritten for each event. The guaranteed time is twice that, so that a pass may be late. If events are
// kept for ever, both moments are zero.
func (r Retention) Limit(now time.Time) (before, due time.Time) {
	if r.Days == 0 {
		return time.Time{}, time.Time{}
	}
	before = now.AddDate(0, 0, -r.Days)
	return before, before.Add(-max(12*time.Hour, time.Duration(r.Days)*24*time.Hour/40))
}

// Workspace ("tenant" in Atlas's API) is one Stream Processing workspace. Its logs have ids of their own, so if another
// workspace gets the same name later, it has new logs.
type Workspace struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"` // unique in its project
	AuditLog       string    `json:"auditLog"`
	OperationalLog string    `json:"operationalLog"`
	CloudProvider  string    `json:"cloudProvider"`
	Region         string    `json:"region"`
	Failover       []Region  `json:"failoverRegions,omitempty"`
	Tier           string    `json:"tier"`
	MaxTier        string    `json:"maxTier,omitempty"`
	RequireOCSF    bool      `json:"requireOCSF"` // refuse events that do not conform to their OCSF class
	Created        time.Time `json:"created"`
}

// Region is where a workspace would run. weir only stores it.
type Region struct {
	CloudProvider string `json:"cloudProvider"`
	Region        string `json:"region"`
}

// DeletedWorkspace is a deleted workspace whose logs are kept.
type DeletedWorkspace struct {
	Workspace
	Deleted time.Time `json:"deleted"`
}

// NetworkEntry is one entry of a project's IP access list. It is meant for clusters, so weir only stores it.
type NetworkEntry struct {
	Block         string    `json:"block"` // CIDR block in the form of ParseBlock, or the name of an AWS security group
	Written       Written   `json:"written,omitzero"`
	Comment       string    `json:"comment,omitempty"`
	DeleteAfter   time.Time `json:"deleteAfter,omitzero"`
	EndWritten    string    `json:"deleteAfterWritten,omitempty"` // DeleteAfter as the caller sent it
	SecurityGroup bool      `json:"securityGroup,omitempty"`
}

// Written is a network as the caller sent it. An entry is shown in this form, and compared by its Block. Attributes
// that the caller did not send are empty.
type Written struct {
	Block   string `json:"cidrBlock,omitempty"`
	Address string `json:"ipAddress,omitempty"`
}

// Kind is the kind of a credential.
type Kind string

const (
	ServiceAccount Kind = "serviceAccount" // OAuth 2.0 client credentials
	APIKey         Kind = "apiKey"         // HTTP Digest
	IngestToken    Kind = "ingestToken"    // a fixed token, with which a sender records events
	Person         Kind = "person"         // a user of an OpenID provider, who is not stored in the bucket
)

// Credential is an identity that can authenticate, with its roles.
type Credential struct {
	// client id (mdb_sa_id_…), public key (8 lower-case letters), id of an ingest token (weir_ and 24 hex digits), or
	// of a person (see NewPerson)
	ID          string        `json:"id"`
	Kind        Kind          `json:"kind"`
	UserID      string        `json:"userId"` // 24 hex digits; the end of ID for a service account or ingest token
	Org         string        `json:"org"`
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Roles       []Grant       `json:"roles"`
	Secrets     []Secret      `json:"secrets,omitempty"`    // of a service account, at most two that have not expired
	HA1         HA1           `json:"ha1,omitzero"`         // of an API key
	Token       Token         `json:"token,omitzero"`       // of an ingest token
	Workspace   string        `json:"workspace,omitempty"`  // if not empty, its roles count only on this workspace (id)
	Used        time.Time     `json:"used,omitzero"`        // last use of an ingest token (see UseInterval), or zero
	AccessList  []AccessEntry `json:"accessList,omitempty"` // if empty, it may be used from any address
	Created     time.Time     `json:"created"`
	Deleted     bool          `json:"deleted,omitempty"`
	Identity    Identity      `json:"-"` // of a person only
}

// Identity is a user as an OpenID provider has authenticated it.
type Identity struct {
	Issuer  string // URL of the provider
	Subject string // id of the user at the provider
	Email   string // verified by the provider; may be empty
}

// AccessEntry is a network from which a credential may be used.
type AccessEntry struct {
	Block   netip.Prefix `json:"block"` // in the form of ParseBlock
	Written Written      `json:"written,omitzero"`
	Created time.Time    `json:"created"`
}

// Grant is a role in one organization or one project.
type Grant struct {
	Org     string `json:"orgId,omitempty"`
	Project string `json:"groupId,omitempty"`
	Role    Role   `json:"roleName"`
}

// Secret is a secret of a service account. Only its SHA-256 is stored: the secret is random, so the hash needs no salt.
type Secret struct {
	ID      string    `json:"id"`
	SHA256  []byte    `json:"sha256"`
	Masked  string    `json:"masked"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Token is the stored part of an ingest token. The token is random, so its SHA-256 needs no salt.
type Token struct {
	SHA256  []byte    `json:"sha256"`
	Masked  string    `json:"masked"`
	Expires time.Time `json:"expires,omitzero"` // zero if it never expires
}

// HA1 is stored for HTTP Digest instead of the private key (RFC 7616, 3.4.2). It is the hash of "public
// key:realm:private key". Anybody who can read it can authenticate with it.
type HA1 struct {
	MD5    []byte `json:"md5"`
	SHA256 []byte `json:"sha256"`
	Masked string `json:"masked"` // the private key, masked for display
}
