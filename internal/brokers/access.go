package brokers

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Access says which cluster is connected to, and who connects.
type Access struct {
	BootstrapServers string `json:"bootstrapServers"`    // host:port, with commas between several
	Plaintext        bool   `json:"plaintext,omitempty"` // without TLS; only without a user
	CA               string `json:"caCertificate,omitempty"`
	Mechanism        string `json:"mechanism,omitempty"` // of SASL
	Username         string `json:"username,omitempty"`  // or id of the client for which tokens are issued
	Password         string `json:"password,omitempty"`  // or the client's secret, or a token
	TokenURL         string `json:"tokenUrl,omitempty"`  // where tokens are issued (OAuth 2.0, client credentials)
	Scope            string `json:"scope,omitempty"`     // of tokens
}

// The mechanisms of SASL, as Atlas names them.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-256"
	ScramSHA512 = "SCRAM-512"
	OAuthBearer = "OAUTHBEARER"
)

// Bounds on settings.
const (
	maxServers = 20
	maxText    = 1000 // bytes
	maxToken   = 8000 // bytes
)

// Check tells what is wrong with the settings, but for the certificates: it calls unless with each condition, the name
// of an attribute, and what the attribute must be.
func (a *Access) Check(unless func(ok bool, name, format string, args ...any)) {
	servers := a.servers()
	unless(len(servers) <= maxServers, "bootstrapServers", "must have 1 to %d elements host:port", maxServers)
	for _, server := range servers {
		if !isHostPort(server) {
			unless(false, "bootstrapServers", "must be host:port, with commas between several")
			break
		}
	}
	most := maxText
	switch a.Mechanism {
	case "":
		unless(a.Username == "" && a.Password == "", "mechanism", "must be given if username or password is")
	case OAuthBearer:
		if most = maxToken; a.TokenURL == "" {
			unless(a.Username == "", "tokenUrl", "must be given if username is")
			break
		}
		fallthrough
	case Plain, ScramSHA256, ScramSHA512:
		unless(a.Username != "" && len(a.Username) <= maxText, "username", "must have 1 to %d bytes", maxText)
	default:
		unless(false, "mechanism", "must be %s, %s, %s or %s", Plain, ScramSHA256, ScramSHA512, OAuthBearer)
	}
	if a.Mechanism != "" {
		unless(a.Password != "" && len(a.Password) <= most, "password", "must have 1 to %d bytes", most)
	}
	unless(a.TokenURL == "" && a.Scope == "" || a.Mechanism == OAuthBearer, "tokenUrl", "and scope are for %s only",
		OAuthBearer)
	unless(a.TokenURL == "" || isServer(a.TokenURL), "tokenUrl",
		"must be an https URL, without user or '#'; http is allowed for loopback addresses only")
	unless(len(a.Scope) <= maxText, "scope", "must have at most %d bytes", maxText)
	unless(!a.Plaintext || a.Mechanism == "" && a.CA == "", "plaintext",
		"must not be given together with mechanism or caCertificate")
}

// Receiver returns the settings that say to which cluster the password is sent, and as which user. If one of them
// changes, a kept password is not used.
func (a *Access) Receiver() []string {
	return []string{a.BootstrapServers, a.CA, strconv.FormatBool(a.Plaintext), a.Mechanism, a.Username, a.TokenURL}
}

func (a *Access) servers() (list []string) {
	for server := range strings.SplitSeq(a.BootstrapServers, ",") {
		list = append(list, strings.TrimSpace(server))
	}
	return list
}

func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, err2 := strconv.ParseUint(port, 10, 16)
	return err == nil && err2 == nil && n > 0 && host != "" && len(host) <= 253 && !strings.ContainsAny(host, " /@\n")
}

// isServer tells whether a text is the URL of a server. Without TLS it is one on the machine itself.
func isServer(text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxText || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// maxTopic bounds the name of a topic, in bytes, as Kafka does.
const maxTopic = 249

// IsTopic tells whether a text can be the name of a topic.
func IsTopic(name string) bool {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c)) {
			return false
		}
	}
	return name != "" && name != "." && name != ".." && len(name) <= maxTopic
}
