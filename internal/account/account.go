// Package account knows who owns what: organizations, projects with their workspaces, and the credentials that
// act on them. All of it is kept as versioned documents in the bucket.
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
	Deleted time.Time `json:"deleted,omitzero"` // zero: it lives

	SkipAlerts bool `json:"skipDefaultAlertsSettings,omitempty"` // kept for its owner: weir has no alerts
	Kept       Kept `json:"settings,omitempty"`
}

// Kept is settings that Atlas has, by their names in its API, as somebody set them.
type Kept map[string]json.RawMessage

// With returns the settings with some of them changed. k stays as it is.
func (k Kept) With(changed Kept) Kept {
	all := Kept{}
	maps.Copy(all, k)
	maps.Copy(all, changed)
	return all
}

// Project ("group" in Atlas's API) holds workspaces. The project's own log, of what weir did to its other logs, has the
// project's id.
type Project struct {
	ID         string             `json:"id"` // 24 hex digits
	Org        string             `json:"org"`
	Name       string             `json:"name"` // unique in its organization
	Created    time.Time          `json:"created"`
	Deleted    time.Time          `json:"deleted,omitzero"` // zero: it lives
	Tags       []Tag              `json:"tags,omitempty"`
	Retention  Retention          `json:"retention,omitzero"`
	Workspaces []Workspace        `json:"workspaces"`
	Gone       []DeletedWorkspace `json:"gone,omitempty"` // whose logs are still kept
	Network    []NetworkEntry     `json:"network,omitempty"`
	// ids of credentials that may have roles on it; their roles decide
	Members []string `json:"members,omitempty"`

	// What its owner set and means nothing to weir, which has neither alerts nor regions.
	NoAlerts bool   `json:"withoutDefaultAlertsSettings,omitempty"`
	Regions  string `json:"regionUsageRestrictions,omitempty"` // empty if it was not set
	Kept     Kept   `json:"settings,omitempty"`
}

// Tag is a name and a value that a user gave a project.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Retention says how long a project's logs are kept. The zero value: for ever, and 30 days after their workspace was
// deleted.
type Retention struct {
	DeletedDays int  `json:"deletedLogRetentionDays,omitempty"` // after the workspace was deleted, at least 30; 0: 30
	Days        int  `json:"retentionDays,omitempty"`           // of a living log, at least 30; 0: for ever
	Hold        bool `json:"legalHold,omitempty"`               // nothing is removed
}

// MinRetentionDays is the shortest time for which events are kept.
const MinRetentionDays = 30

// Kept returns for how many days logs are kept after their workspace was deleted.
func (r Retention) Kept() int { return max(r.DeletedDays, MinRetentionDays) }

// Limit returns the moment before which events of living logs are too old, and the moment before which they are due to
// go. The time between is half a day, or 2.5 % of the limit if that is more, so that a segment is not made again for
// each event that becomes too old. What is promised is twice that, so that a pass may come late. Both moments are zero
// if events are kept for ever.
func (r Retention) Limit(now time.Time) (before, due time.Time) {
	if r.Days == 0 {
		return time.Time{}, time.Time{}
	}
	before = now.AddDate(0, 0, -r.Days)
	return before, before.Add(-max(12*time.Hour, time.Duration(r.Days)*24*time.Hour/40))
}

// Workspace ("tenant" in Atlas's API) is one Stream Processing workspace. Its logs have ids of their own, so that
// a workspace made again under the same name gets new logs.
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

// Region is where a workspace would run: weir only remembers it.
type Region struct {
	CloudProvider string `json:"cloudProvider"`
	Region        string `json:"region"`
}

// DeletedWorkspace is a workspace that was deleted and whose logs are still kept.
type DeletedWorkspace struct {
	Workspace
	Deleted time.Time `json:"deleted"`
}

// NetworkEntry is one entry of a project's IP access list. It is for clusters, which weir has none of: weir keeps it.
type NetworkEntry struct {
	Block         string    `json:"block"` // CIDR block as ParseBlock has it, or the name of an AWS security group
	Written       Written   `json:"written,omitzero"`
	Comment       string    `json:"comment,omitempty"`
	DeleteAfter   time.Time `json:"deleteAfter,omitzero"`
	EndWritten    string    `json:"deleteAfterWritten,omitempty"` // DeleteAfter as the caller wrote it
	SecurityGroup bool      `json:"securityGroup,omitempty"`
}

// Written is how the caller that made an entry wrote its network. An entry is shown so, and compared by its Block. An
// attribute that the caller did not send is empty.
type Written struct {
	Block   string `json:"cidrBlock,omitempty"`
	Address string `json:"ipAddress,omitempty"`
}

// Kind of a credential.
type Kind string

const (
	ServiceAccount Kind = "serviceAccount" // OAuth 2.0 client credentials
	APIKey         Kind = "apiKey"         // HTTP Digest
	IngestToken    Kind = "ingestToken"    // a fixed token, with which a sender records events
	Person         Kind = "person"         // who signed in at an OpenID provider; it is in no bucket
)

// Credential is something that can authenticate, and what it may do.
type Credential struct {
	// client id (mdb_sa_id_…), public key (8 lower-case letters), id of an ingest token (weir_ and 24 hex digits), or
	// of a person (see NewPerson)
	ID          string        `json:"id"`
	Kind        Kind          `json:"kind"`
	UserID      string        `json:"userId"` // 24 hex digits; of a service account and an ingest token the end of its id
	Org         string        `json:"org"`
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Roles       []Grant       `json:"roles"`
	Secrets     []Secret      `json:"secrets,omitempty"`    // of a service account, at most two that have not expired
	HA1         HA1           `json:"ha1,omitzero"`         // of an API key
	Token       Token         `json:"token,omitzero"`       // of an ingest token
	Workspace   string        `json:"workspace,omitempty"`  // id of the only one where its roles count; if empty, all
	Used        time.Time     `json:"used,omitzero"`        // when an ingest token was used, see UseInterval; zero: never
	AccessList  []AccessEntry `json:"accessList,omitempty"` // empty: from anywhere
	Created     time.Time     `json:"created"`
	Deleted     bool          `json:"deleted,omitempty"`
	Identity    Identity      `json:"-"` // of a person
}

// Identity is whom an OpenID provider has vouched for.
type Identity struct {
	Issuer  string // URL of the provider
	Subject string // who it is at the provider
	Email   string // that the provider has verified; empty if there is none
}

// AccessEntry is where a credential may be used from.
type AccessEntry struct {
	Block   netip.Prefix `json:"block"` // as ParseBlock has it
	Written Written      `json:"written,omitzero"`
	Created time.Time    `json:"created"`
}

// Grant is a role in one organization or one project.
type Grant struct {
	Org     string `json:"orgId,omitempty"`
	Project string `json:"groupId,omitempty"`
	Role    Role   `json:"roleName"`
}

// Secret of a service account. Only its SHA-256 is stored: the secret is random, so the hash needs no salt.
type Secret struct {
	ID      string    `json:"id"`
	SHA256  []byte    `json:"sha256"`
	Masked  string    `json:"masked"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Token is what is stored of an ingest token. It is random, so its SHA-256 needs no salt.
type Token struct {
	SHA256  []byte    `json:"sha256"`
	Masked  string    `json:"masked"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// HA1 is what HTTP Digest needs instead of the private key (RFC 7616, 3.4.2): the hash of
// "public key:realm:private key". Whoever can read it can authenticate with it.
type HA1 struct {
	MD5    []byte `json:"md5"`
	SHA256 []byte `json:"sha256"`
	Masked string `json:"masked"` // the private key, masked for display
}
