package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/egress"
)

// postedAlert is an alert as Alertmanager's API v2 takes it.
type postedAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	URL         string            `json:"generatorURL,omitempty"`
}

// believedFor is for how long Alertmanager takes an alert for one that lasts, if it is not told again.
const believedFor = 5 * time.Minute

// toAlertmanager posts all messages at once. Alertmanager knows an alert by its labels. An alert of a rule whose name
// or severity was changed is a new one there, and the old one ends after believedFor.
func (s *Sender) toAlertmanager(ctx context.Context, n *Notifier, secret string, messages []Message) (int, error) {
	now := time.Now()
	var all []postedAlert
	for _, m := range messages {
		a := postedAlert{StartsAt: time.UnixMilli(m.Alert.Fired).UTC(), EndsAt: now.Add(believedFor).UTC(), URL: m.URL,
			Labels: map[string]string{"alertname": m.Rule.Name, "severity": m.Rule.Severity.Text(),
				"project": m.Project, "alert": m.Alert.ID, "cause": string(m.Alert.Cause), "source": "weir"},
			Annotations: map[string]string{"summary": m.Rule.Text(&m.Alert), "description": m.Rule.Description}}
		for field, value := range m.Rule.GroupOf(&m.Alert) {
			a.Annotations[label(field)] = value
		}
		if m.Resolved {
			a.EndsAt = now.UTC()
		}
		all = append(all, a)
	}
	body, err := json.Marshal(all)
	if err != nil {
		return 0, err
	}
	c, done, err := s.client(n)
	if err != nil {
		return 0, err
	}
	defer done()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(n.URL, "/")+"/api/v2/alerts",
		bytes.NewReader(body))
	if err != nil {
		return 0, egress.WithoutURL(err)
	}
	if n.Username != "" {
		r.SetBasicAuth(n.Username, secret)
	} else if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if err := post(c, r); err != nil {
		return 0, err
	}
	return len(messages), nil
}

// label returns a field's name as the name of an annotation may be.
func label(field string) string {
	name := []byte("field_" + field)
	for i, c := range name {
		if !(c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			name[i] = '_'
		}
	}
	return string(name)
}
