// Package webhook sends events to a URL of anybody's, as Standard Webhooks (https://www.standardwebhooks.com) says: in
// JSON, signed with a secret that both sides have.
package webhook

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/webhook"
)

// Settings of a webhook.
type Settings struct {
	URL    string `json:"webhookUrl"`
	Secret string `json:"webhookSecret"`           // whsec_ and 24 to 64 bytes in base64
	CA     string `json:"caCertificate,omitempty"` // in PEM; if empty, the system's count
}

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	post.CheckURL(w, "webhookUrl", s.URL)
	post.CheckCA(w, "caCertificate", s.CA)
	_, err := webhook.ParseSecret(s.Secret)
	w.Unless(err == nil, "webhookSecret", "is not valid: %v", err)
}

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string {
	return map[string]*string{"webhookSecret": &s.Secret}
}

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return nil }

// Sink is a webhook.
type Sink struct {
	post *post.Poster
	key  webhook.Secret
	body []byte
}

// New returns the sink that settings describe.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	key, err := webhook.ParseSecret(s.Secret)
	if err != nil {
		return nil, err
	}
	poster, err := post.New(p, post.Options{URL: s.URL, CA: s.CA,
		Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"weir"}}})
	if err != nil {
		return nil, err
	}
	return &Sink{post: poster, key: key}, nil
}

// Close implements deliver.Sink.
func (s *Sink) Close() error { return s.post.Close() }

// Send implements deliver.Sink. Any status of success is acceptance, as Standard Webhooks has it.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) ([]deliver.Refusal, error) {
	now := time.Now()
	s.body = Append(s.body[:0], batch, now)
	id := fmt.Sprintf("%s/%d-%d", batch[0].Log, batch[0].Index, batch[len(batch)-1].Index)
	signed := http.Header{}
	s.key.Sign(signed, id, now, s.body)
	reply, err := s.post.Send(ctx, s.body, signed)
	if err == nil {
		err = reply.Err()
	}
	return nil, err
}

// Append appends the body that has the events of a batch, which are of one log.
func Append(dst []byte, batch []deliver.Event, now time.Time) []byte {
	dst = append(dst, `{"type":"weir.events","timestamp":"`...)
	dst = now.UTC().AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","data":{"logId":"`...)
	dst = append(append(dst, batch[0].Log...), '"')
	dst = connect.String(connect.Name(dst, "logName"), batch[0].Name)
	dst = append(connect.Name(dst, "events"), '[')
	for i := range batch {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(batch[i].AppendID(append(dst, `{"id":"`...)), '"')
		dst = append(connect.Name(dst, "event"), batch[i].Line...)
		dst = append(dst, '}')
	}
	return append(dst, "]}}"...)
}
