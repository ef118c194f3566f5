// Package notify tells others of alerts: Alertmanager by its API v2, webhooks as Standard Webhooks says, and people by
// mail. It connects as package egress allows, and keeps nothing.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/visible"
)

// Type is the protocol of a notifier.
type Type string

// The types.
const (
	Alertmanager Type = "ALERTMANAGER"
	Webhook      Type = "WEBHOOK"
	SMTP         Type = "SMTP"
)

// Notifier is where a project wants to be told of alerts.
type Notifier struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Type    Type      `json:"type"`
	Created time.Time `json:"created"`

	URL      string   `json:"url,omitempty"`      // of Alertmanager, below which its API is, or of the webhook
	Address  string   `json:"address,omitempty"`  // of the server of mail: host and port
	Security Security `json:"security,omitempty"` // of the connection to the server of mail
	From     string   `json:"from,omitempty"`     // of mails
	To       []string `json:"to,omitempty"`       // of mails
	CA       string   `json:"ca,omitempty"`       // authorities to trust, in PEM. If empty, the system's.
	Username string   `json:"username,omitempty"` // If empty, nobody signs in.

	// Secret is the password, or the secret of the webhook, hidden at SecretPlace.
	Secret string `json:"secret,omitempty"`
}

// Security is how a connection to a server of mail is made secret.
type Security string

// The ways. One that does not verify the server, or falls back to none, does not exist.
const (
	StartTLS Security = "STARTTLS" // The default.
	TLS      Security = "TLS"      // from the first byte on
)

// SecretPlace returns where a notifier's secret is hidden.
func SecretPlace(project, id string) string { return layout.Alerts.Prefix(project) + id + "/secret" }

// Repeats tells whether a notifier is to be told again while an alert lasts.
func (n *Notifier) Repeats() bool { return n.Type == Alertmanager }

// Message tells that an alert fired, or that it is over.
type Message struct {
	Project  string
	Rule     rule.Rule
	Alert    rule.Alert
	Resolved bool
	URL      string // of the page that shows the alert's events; empty if there is none
}

// ID returns the id of the message, the same each time that it is sent.
func (m *Message) ID() string {
	if m.Resolved {
		return m.Alert.ID + "-resolved"
	}
	return m.Alert.ID + "-fired"
}

// Sender sends messages. It may be used concurrently.
type Sender struct {
	egress *egress.Policy
	box    seal.Box
}

// NewSender returns a Sender that connects as a policy says, and finds the secrets of notifiers in a box.
func NewSender(p *egress.Policy, b seal.Box) *Sender { return &Sender{p, b} }

// requestTime bounds one request, or the mails of one connection, in time.
const requestTime = 15 * time.Second

// Send sends messages in order, and returns how many were accepted. It ends at the first that was not, with the error;
// retry.Asked of it says if the other side has named a time to come again.
func (s *Sender) Send(ctx context.Context, n *Notifier, messages []Message) (accepted int, err error) {
	secret := ""
	if n.Secret != "" {
		if secret, err = s.box.Show(SecretPlace(messages[0].Project, n.ID), n.Secret); err != nil {
			return 0, errors.New("its secret cannot be read with the nodes' secret; set it again")
		}
	}
	switch n.Type {
	case Alertmanager:
		return s.toAlertmanager(ctx, n, secret, messages)
	case Webhook:
		return s.toWebhook(ctx, n, secret, messages)
	case SMTP:
		return s.mail(ctx, n, secret, messages)
	}
	return 0, fmt.Errorf("there are no notifiers of type %s", n.Type)
}

// client returns a client for one exchange with a notifier. close lets go of its connections.
func (s *Sender) client(n *Notifier) (c *http.Client, close func(), err error) {
	c, err = s.egress.Client(egress.Options{CA: []byte(n.CA), Timeout: requestTime})
	if err != nil {
		return nil, nil, err
	}
	return c, c.CloseIdleConnections, nil
}

// post sends a body. Only a status from 200 to 299 is an acceptance. Nothing of the reply's body is read.
func post(c *http.Client, r *http.Request) error {
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "weir")
	reply, err := c.Do(r)
	if err != nil {
		return egress.WithoutURL(err)
	}
	reply.Body.Close()
	if reply.StatusCode/100 == 2 {
		return nil
	}
	return retry.After(fmt.Errorf("status %d", reply.StatusCode), retry.Asked(reply.Header))
}

// maxShown bounds the text of an error that is shown, in bytes.
const maxShown = 300

// Shown returns an error's text as it may be kept and shown: the other side can be the cause of any of it.
func Shown(err error) string {
	text := strings.ToValidUTF8(err.Error(), "�")
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return visible.Text(text)
}
