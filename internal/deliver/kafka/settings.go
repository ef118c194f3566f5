package kafka

import (
	"net"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
)

// Settings say which cluster and topic take events, and who sends them.
type Settings struct {
	BootstrapServers string `json:"bootstrapServers"` // host:port, with commas between several
	Topic            string `json:"topic"`
	Plaintext        bool   `json:"plaintext,omitempty"` // without TLS; only without a user
	CA               string `json:"caCertificate,omitempty"`
	Mechanism        string `json:"mechanism,omitempty"` // of SASL; see Mechanisms
	Username         string `json:"username,omitempty"`
	Password         string `json:"password,omitempty"`

	// MaxMessageBytes is the size of the largest batch of messages, before compression, in bytes. That of the topic,
	// max.message.bytes, must not be smaller (default 1,000,000).
	MaxMessageBytes int `json:"maxMessageBytes,omitempty"`
}

// The mechanisms of SASL, as Atlas names them.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-256"
	ScramSHA512 = "SCRAM-512"
)

// Bounds on settings.
const (
	maxServers    = 20
	maxTopic      = 249 // Kafka's
	maxText       = 1000
	leastMessage  = 10_000
	mostMessage   = 10_000_000
	usualMessages = 1_000_000
)

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	servers := s.servers()
	w.Unless(len(servers) > 0 && len(servers) <= maxServers, "bootstrapServers", "must be 1 to %d times host:port",
		maxServers)
	for _, server := range servers {
		w.Unless(isHostPort(server), "bootstrapServers", "must be host:port, with commas between several")
	}
	w.Unless(isTopic(s.Topic), "topic", "must be 1 to %d letters, digits, '.', '_' or '-'", maxTopic)
	switch s.Mechanism {
	case "":
		w.Unless(s.Username == "" && s.Password == "", "mechanism", "must be given if username or password is")
	case Plain, ScramSHA256, ScramSHA512:
		w.Unless(s.Username != "" && len(s.Username) <= maxText, "username", "must have 1 to %d bytes", maxText)
		w.Unless(s.Password != "" && len(s.Password) <= maxText, "password", "must have 1 to %d bytes", maxText)
	default:
		w.Unless(false, "mechanism", "must be %s, %s or %s", Plain, ScramSHA256, ScramSHA512)
	}
	w.Unless(!s.Plaintext || s.Mechanism == "" && s.CA == "", "plaintext",
		"must not be given together with mechanism or caCertificate")
	post.CheckCA(w, "caCertificate", s.CA)
	w.Unless(s.MaxMessageBytes == 0 || s.MaxMessageBytes >= leastMessage && s.MaxMessageBytes <= mostMessage,
		"maxMessageBytes", "must be %d to %d", leastMessage, mostMessage)
}

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string { return map[string]*string{"password": &s.Password} }

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string {
	return []string{s.BootstrapServers, s.CA, strconv.FormatBool(s.Plaintext), s.Mechanism, s.Username}
}

func (s *Settings) servers() (list []string) {
	for server := range strings.SplitSeq(s.BootstrapServers, ",") {
		list = append(list, strings.TrimSpace(server))
	}
	return list
}

func (s *Settings) maxMessage() int {
	if s.MaxMessageBytes == 0 {
		return usualMessages
	}
	return s.MaxMessageBytes
}

func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, err2 := strconv.ParseUint(port, 10, 16)
	return err == nil && err2 == nil && n > 0 && host != "" && len(host) <= 253 && !strings.ContainsAny(host, " /@\n")
}

func isTopic(name string) bool {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c)) {
			return false
		}
	}
	return name != "" && name != "." && name != ".." && len(name) <= maxTopic
}
