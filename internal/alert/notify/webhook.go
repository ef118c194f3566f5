package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/webhook"
)

// posted is the body of a webhook.
type posted struct {
	Type      string    `json:"type"` // alert.fired or alert.resolved
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	Alert       string            `json:"alert"`
	Project     string            `json:"project"`
	Rule        string            `json:"rule"`
	RuleID      string            `json:"ruleId"`
	Severity    string            `json:"severity"`
	Cause       string            `json:"cause"`
	Text        string            `json:"text"`
	Description string            `json:"description,omitempty"`
	Group       map[string]string `json:"group"`
	From        time.Time         `json:"from"`
	To          time.Time         `json:"to"`
	Log         string            `json:"log,omitempty"`
	Entry       *int64            `json:"entry,omitempty"`
	URL         string            `json:"url,omitempty"`
}

// toWebhook sends each message in a request of its own.
func (s *Sender) toWebhook(ctx context.Context, n *Notifier, secret string, messages []Message) (int, error) {
	key, err := webhook.ParseSecret(secret)
	if err != nil {
		return 0, err
	}
	c, done, err := s.client(n)
	if err != nil {
		return 0, err
	}
	defer done()
	for i := range messages {
		m := &messages[i]
		body, err := json.Marshal(bodyOf(m))
		if err != nil {
			return i, err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL, bytes.NewReader(body))
		if err != nil {
			return i, egress.WithoutURL(err)
		}
		key.Sign(r.Header, m.ID(), time.Now(), body)
		if err := post(c, r); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// bodyOf returns the body of a message, the same each time that it is sent.
func bodyOf(m *Message) posted {
	a := &m.Alert
	b := posted{Type: "alert.fired", Timestamp: time.UnixMilli(a.Fired).UTC(), Data: data{Alert: a.ID,
		Project: m.Project, Rule: m.Rule.Name, RuleID: m.Rule.ID, Severity: m.Rule.Severity.Text(),
		Cause: string(a.Cause), Text: m.Rule.Text(a), Description: m.Rule.Description, Group: m.Rule.GroupOf(a),
		From: time.UnixMilli(a.From).UTC(), To: time.UnixMilli(max(a.From, a.To)).UTC(), Log: a.Log, URL: m.URL}}
	if a.Log != "" {
		b.Data.Entry = &a.Entry
	}
	if m.Resolved {
		b.Type, b.Timestamp = "alert.resolved", time.UnixMilli(a.Resolved).UTC()
	}
	return b
}
