package notify

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/webhook"
)

// Limits of a notifier.
const (
	maxURL       = 2048 // bytes
	maxAddress   = 320  // bytes
	maxReceivers = 20
	maxCA        = 64 << 10 // bytes
	maxSecret    = 1024     // bytes
)

// Check returns the problems of a notifier. secret is that of the notifier, or "" if it has none.
func (n *Notifier) Check(secret string) []rule.Problem {
	var k checks
	k.check(rule.ValidName(n.Name), "name", rule.NameRule)
	k.check(len(n.CA) <= maxCA, "ca", fmt.Sprintf("must have at most %d bytes", maxCA))
	if n.CA != "" {
		_, err := egress.TLS([]byte(n.CA))
		k.check(err == nil && onlyCertificates(n.CA), "ca", "must be certificates of authorities in PEM")
	}
	k.check(len(n.Username) <= maxAddress && isPlain(n.Username), "username",
		fmt.Sprintf("must have at most %d printable bytes", maxAddress))
	k.check(len(secret) <= maxSecret && isPlain(secret), "secret", fmt.Sprintf("must have at most %d printable bytes",
		maxSecret))
	switch n.Type {
	case Alertmanager, Webhook:
		n.checkHTTP(&k, secret)
	case SMTP:
		n.checkMail(&k, secret)
	default:
		k.check(false, "type", "must be ALERTMANAGER, WEBHOOK or SMTP")
	}
	return k
}

// notURL tells whether a character cannot be in a URL. The mask of an address has such characters.
func notURL(r rune) bool { return r <= ' ' || r > '~' }

func (n *Notifier) checkHTTP(k *checks, secret string) {
	u, err := url.Parse(n.URL)
	ok := err == nil && len(n.URL) <= maxURL && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" &&
		u.User == nil && u.Fragment == "" && !strings.ContainsFunc(n.URL, notURL)
	k.check(ok, "url", fmt.Sprintf("must be a URL in ASCII that begins with https:// or http://, without user and "+
		"fragment, of at most %d bytes", maxURL))
	k.check(n.Address == "" && n.Security == "" && n.From == "" && len(n.To) == 0, "type",
		"takes no address, security, from and to, which are for SMTP")
	if n.Type == Webhook {
		_, err := webhook.ParseSecret(secret)
		k.check(err == nil, "secret", webhook.ErrSecret.Error())
		k.check(n.Username == "", "username", "cannot be given for a webhook")
		return
	}
	k.check(!ok || u.RawQuery == "", "url", "must not have a query")
	k.check(secret == "" || !ok || u.Scheme == "https", "url", "must begin with https:// if there is a secret")
	k.check(n.Username == "" || secret != "", "secret", "is missing: a user name needs a password")
}

func (n *Notifier) checkMail(k *checks, secret string) {
	host, port, err := net.SplitHostPort(n.Address)
	number, portErr := strconv.ParseUint(port, 10, 16)
	k.check(err == nil && portErr == nil && number > 0 && host != "" && len(n.Address) <= maxAddress &&
		isPlain(n.Address), "address", `must be a host and a port, such as "mail.example.org:587"`)
	k.check(n.URL == "", "url", "cannot be given for SMTP")
	k.check(slices.Contains([]Security{"", StartTLS, TLS}, n.Security), "security", "must be STARTTLS or TLS")
	k.check(isAddress(n.From), "from", "must be an e-mail address")
	k.check(0 < len(n.To) && len(n.To) <= maxReceivers && !slices.ContainsFunc(n.To, func(to string) bool {
		return !isAddress(to)
	}), "to", fmt.Sprintf("must have 1 to %d e-mail addresses", maxReceivers))
	k.check((n.Username == "") == (secret == ""), "username", "must be given together with secret")
}

// isAddress tells whether a text is one address of mail, which may have a name.
func isAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && len(text) <= maxAddress && isPlain(text) && isPlain(a.Address) &&
		!strings.ContainsAny(a.Address, "<> ")
}

// isPlain tells whether a text is UTF-8 without control characters.
func isPlain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// onlyCertificates tells whether a text in PEM has nothing but certificates: a private key does not belong here.
func onlyCertificates(text string) bool {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return true
		}
		if block.Type != "CERTIFICATE" {
			return false
		}
	}
}

// SameTarget tells whether two notifiers send to the same place in the same way, so that a secret for one is for the
// other.
func (n *Notifier) SameTarget(other *Notifier) bool {
	return n.Type == other.Type && n.URL == other.URL && n.Address == other.Address && n.Security == other.Security &&
		n.CA == other.CA && n.Username == other.Username
}

// checks collects problems.
type checks []rule.Problem

func (k *checks) check(ok bool, field, text string) {
	if !ok {
		*k = append(*k, rule.Problem{Field: field, Text: text})
	}
}
