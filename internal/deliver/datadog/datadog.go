// Package datadog hands events over to Datadog's log intake.
//
// The intake accepts some events and then drops or cuts them: those older than 18 hours, and those larger than 1 MB.
// Here such an event is refused with that reason and is not sent.
package datadog

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
	"github.com/weirlog/weir/internal/egress"
)

// Limits of the intake, and how much of them is used. All sizes are those before compression, in bytes.
const (
	maxEntry   = 1_000_000
	maxBody    = 5_000_000
	maxEntries = 1000
	maxAge     = 18*time.Hour - 10*time.Minute // what is near the limit may be beyond it when it arrives
)

// Sink sends batches to one account.
type Sink struct {
	poster *post.Poster
	head   []byte // the beginning of each entry
	tags   string
	entry  []byte
	body   []byte
}

// New returns a sink that connects as the policy says.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	site := sites[s.Region]
	if site == "" {
		return nil, fmt.Errorf("region %q is not one of Datadog's", s.Region)
	}
	return newAt("https://http-intake.logs."+site+"/api/v2/logs", s, p)
}

func newAt(url string, s Settings, p *egress.Policy) (*Sink, error) {
	poster, err := post.New(p, post.Options{URL: url, Gzip: true, Header: http.Header{
		"Content-Type": {"application/json"}, "Dd-Api-Key": {s.APIKey}, "User-Agent": {"weir"}}})
	if err != nil {
		return nil, err
	}
	head := connect.String([]byte(`{"ddsource":"weir","service":`), cmp.Or(s.Service, "weir"))
	return &Sink{poster: poster, head: head, tags: s.Tags}, nil
}

// Send posts a batch in as few requests as the intake's limits allow, one behind the other.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) (refused []deliver.Refusal, err error) {
	s.body = s.body[:0]
	entries := 0
	for i := range batch {
		s.entry = s.append(s.entry[:0], &batch[i])
		if reason := unfit(&batch[i], len(s.entry)); reason != "" {
			refused = append(refused, deliver.Refusal{At: i, Reason: reason})
			continue
		}
		if entries == maxEntries || len(s.body)+len(s.entry)+len(",]") > maxBody {
			if err := s.post(ctx); err != nil {
				return nil, err
			}
			s.body, entries = s.body[:0], 0
		}
		s.body = append(append(s.body, ','), s.entry...)
		entries++
	}
	if entries > 0 {
		err = s.post(ctx)
	}
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// unfit says why the intake would not keep an event whole, whatever it answers.
func unfit(e *deliver.Event, size int) string {
	switch {
	case size > maxEntry:
		return fmt.Sprintf("it has %d bytes as an entry; Datadog cuts entries with more than %d", size, maxEntry)
	case time.Since(time.UnixMilli(e.Time)) > maxAge:
		return "its time is at least 18 hours ago; Datadog drops such events"
	}
	return ""
}

// append appends an event as an entry of the intake: the event as it was recorded is the message, which Datadog reads
// as JSON.
func (s *Sink) append(dst []byte, e *deliver.Event) []byte {
	dst = append(dst, s.head...)
	dst = fmt.Appendf(connect.Name(dst, "timestamp"), "%d", e.Time)
	tags := "log:" + strings.ReplaceAll(e.Name, ",", "_")
	if s.tags != "" {
		tags += "," + s.tags
	}
	dst = connect.String(connect.Name(dst, "ddtags"), tags)
	dst = append(connect.Name(dst, "weir"), '{')
	dst = connect.String(connect.Name(dst, "id"), e.ID())
	dst = connect.String(connect.Name(dst, "log"), e.Log)
	dst = fmt.Appendf(connect.Name(dst, "index"), "%d}", e.Index)
	return append(connect.String(connect.Name(dst, "message"), string(e.Line)), '}')
}

// post sends the entries in the body, each with a comma before it.
func (s *Sink) post(ctx context.Context) error {
	s.body[0] = '['
	s.body = append(s.body, ']')
	reply, err := s.poster.Send(ctx, s.body, nil)
	if err == nil {
		err = reply.Err()
	}
	if err != nil {
		return fmt.Errorf("datadog: %w", err)
	}
	if err := accepted(reply.Status, reply.Body); err != nil {
		return fmt.Errorf("datadog: %w", err)
	}
	return nil
}

// accepted tells whether a reply says that all entries of a request were accepted.
func accepted(status int, body []byte) error {
	if status != http.StatusAccepted {
		return fmt.Errorf("the place answered %d, not 202 Accepted: %s", status, post.Excerpt(body))
	}
	if len(body) == 0 {
		return nil
	}
	wrong := false
	err := connect.Members(body, func(name string, _ []byte) error {
		wrong = wrong || name == "errors"
		return nil
	})
	if err != nil || wrong {
		return fmt.Errorf("the reply is not that of the intake: %s", post.Excerpt(body))
	}
	return nil
}

// Close lets go of idle connections.
func (s *Sink) Close() error { return s.poster.Close() }
