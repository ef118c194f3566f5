// Package account knows who owns what: organizations, projects with their workspaces, and the credentials that
// act on them. All of it is kept as versioned documents in the bucket.
package account

import "time"

// Organization owns projects and credentials.
type Organization struct {
	ID      string    `json:"id"` // 24 hex digits
	Name    string    `json:"name"`
	Log     string    `json:"log"` // id of the organization's own log
	Created time.Time `json:"created"`
}

// Project ("group" in Atlas's API) holds workspaces.
type Project struct {
	ID         string      `json:"id"` // 24 hex digits
	Org        string      `json:"org"`
	Name       string      `json:"name"`
	Created    time.Time   `json:"created"`
	Workspaces []Workspace `json:"workspaces"`
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
	Tier           string    `json:"tier"`
	RequireOCSF    bool      `json:"requireOCSF"` // refuse events that do not conform to their OCSF class
	Created        time.Time `json:"created"`
}

// Kind of a credential.
type Kind string

const (
	ServiceAccount Kind = "serviceAccount" // OAuth 2.0 client credentials
	APIKey         Kind = "apiKey"         // HTTP Digest
)

// Credential is something that can authenticate, and what it may do.
type Credential struct {
	ID          string    `json:"id"` // client id (mdb_sa_id_…) or public key (8 lower-case letters)
	Kind        Kind      `json:"kind"`
	Org         string    `json:"org"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Roles       []Grant   `json:"roles"`
	Secrets     []Secret  `json:"secrets,omitempty"`    // of a service account, at most two
	HA1         HA1       `json:"ha1,omitzero"`         // of an API key
	AccessList  []string  `json:"accessList,omitempty"` // addresses and CIDR blocks; empty: from anywhere
	Created     time.Time `json:"created"`
	Deleted     bool      `json:"deleted,omitempty"`
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

// HA1 is what HTTP Digest needs instead of the private key (RFC 7616, 3.4.2): the hash of
// "public key:realm:private key". Whoever can read it can authenticate with it.
type HA1 struct {
	MD5    []byte `json:"md5"`
	SHA256 []byte `json:"sha256"`
	Masked string `json:"masked"` // the private key, masked for display
}

// Role is an identifier as Atlas's API names it.
type Role string

const (
	OrgOwner                   Role = "ORG_OWNER"
	OrgMember                  Role = "ORG_MEMBER"
	OrgReadOnly                Role = "ORG_READ_ONLY"
	OrgGroupCreator            Role = "ORG_GROUP_CREATOR"
	OrgBillingAdmin            Role = "ORG_BILLING_ADMIN"
	OrgBillingReadOnly         Role = "ORG_BILLING_READ_ONLY"
	OrgStreamProcessingAdmin   Role = "ORG_STREAM_PROCESSING_ADMIN"
	GroupOwner                 Role = "GROUP_OWNER"
	GroupReadOnly              Role = "GROUP_READ_ONLY"
	GroupDataAccessAdmin       Role = "GROUP_DATA_ACCESS_ADMIN"
	GroupDataAccessReadWrite   Role = "GROUP_DATA_ACCESS_READ_WRITE"
	GroupDataAccessReadOnly    Role = "GROUP_DATA_ACCESS_READ_ONLY"
	GroupStreamProcessingOwner Role = "GROUP_STREAM_PROCESSING_OWNER"
	GroupClusterManager        Role = "GROUP_CLUSTER_MANAGER"
	GroupSearchIndexEditor     Role = "GROUP_SEARCH_INDEX_EDITOR"
	GroupAuditLogWriter        Role = "GROUP_AUDIT_LOG_WRITER" // weir's own: may record, nothing else
)
