package syslog

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
)

// Settings say which receiver takes events, and in which form.
type Settings struct {
	Address string `json:"syslogAddress"`               // host:port; the usual port is 6514
	Format  string `json:"syslogFormat,omitempty"`      // of the message's text; see the formats (default JSON)
	CA      string `json:"caCertificate,omitempty"`     // PEM; trusted instead of the system's
	Cert    string `json:"clientCertificate,omitempty"` // PEM; what weir shows of itself
	Key     string `json:"clientKey,omitempty"`         // PEM; belongs to Cert
	Host    string `json:"syslogHostname,omitempty"`    // that messages name as their origin (default weir)
	Most    int    `json:"syslogMaxBytes,omitempty"`    // size of a message, in bytes (default 8,192)
	AnyEnd  bool   `json:"syslogAnyEnd,omitempty"`      // a receiver that ends without close_notify has read all
	Number  int    `json:"syslogEnterprise,omitempty"`  // private enterprise number in the structured data (default 32473)
}

// The formats of a message's text.
const (
	JSON = "JSON" // the event as it was recorded
	CEF  = "CEF"  // ArcSight's Common Event Format, version 0
)

// Bounds on settings. Receivers take messages of 2,048 bytes and should take those of 8,192 (RFC 5425, section 4.3.1).
const (
	leastMessage = 2048
	usualMessage = 8192
	mostMessage  = 1 << 20
	maxHostname  = 255 // RFC 5424
	maxPEM       = 64 << 10

	exampleNumber = 32473 // which RFC 5612 sets aside for examples; weir has none of its own
)

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	host, port, err := net.SplitHostPort(s.Address)
	n, err2 := strconv.ParseUint(port, 10, 16)
	w.Unless(err == nil && err2 == nil && n > 0 && host != "" && len(host) <= maxHostname &&
		!strings.ContainsAny(host, " /@"), "syslogAddress", "must be host:port, such as syslog.example.com:6514")
	w.Unless(s.Format == "" || s.Format == JSON || s.Format == CEF, "syslogFormat", "must be %s or %s", JSON, CEF)
	post.CheckCA(w, "caCertificate", s.CA)
	if s.Cert != "" || s.Key != "" {
		_, err := tls.X509KeyPair([]byte(s.Cert), []byte(s.Key))
		w.Unless(err == nil && len(s.Cert) <= maxPEM && len(s.Key) <= maxPEM, "clientCertificate",
			"must be a certificate in PEM, with clientKey as its key, at most %d bytes each", maxPEM)
	}
	w.Unless(len(s.Host) <= maxHostname && word(s.Host, maxHostname) == s.Host, "syslogHostname",
		"must consist of at most %d visible ASCII characters", maxHostname)
	w.Unless(s.Most == 0 || s.Most >= leastMessage && s.Most <= mostMessage, "syslogMaxBytes", "must be %d to %d",
		leastMessage, mostMessage)
	w.Unless(s.Number >= 0 && s.Number < 1<<32, "syslogEnterprise", "must be a private enterprise number")
}

// OwnFormat returns the attribute that says in which format events are sent.
func (s *Settings) OwnFormat() (attribute *string, name string) { return &s.Format, "syslogFormat" }

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string { return map[string]*string{"clientKey": &s.Key} }

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return nil }

func (s *Settings) withDefaults() Settings {
	d := *s
	if d.Format == "" {
		d.Format = JSON
	}
	if d.Host == "" {
		d.Host = "weir"
	}
	if d.Most == 0 {
		d.Most = usualMessage
	}
	if d.Number == 0 {
		d.Number = exampleNumber
	}
	return d
}
