// Package elastic hands events over by the _bulk API of Elasticsearch, which OpenSearch and VictoriaLogs have too.
//
// Each event is created under its ID as _id, so what is sent again changes nothing in Elasticsearch: it answers that
// the document exists (409), which counts as accepted.
package elastic

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
	"github.com/weirlog/weir/internal/egress"
)

// maxReply bounds a reply, in bytes. One in which each of 10,000 events is refused has less.
const maxReply = 8 << 20

// Sink sends batches to one server.
type Sink struct {
	poster *post.Poster
	action []byte // the beginning of each action, up to the value of _id
	body   []byte
}

// New returns a sink that connects as the policy says.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	url, err := s.bulk()
	if err != nil {
		return nil, fmt.Errorf("elasticUrl: %w", err)
	}
	header := http.Header{"Content-Type": {"application/x-ndjson"}, "User-Agent": {"weir"}}
	switch {
	case s.APIKey != "":
		header.Set("Authorization", "ApiKey "+s.APIKey)
	case s.Username != "":
		pair := base64.StdEncoding.EncodeToString([]byte(s.Username + ":" + s.Password))
		header.Set("Authorization", "Basic "+pair)
	}
	action := []byte(`{"create":{`)
	if s.Index != "" {
		action = connect.String(connect.Name(action, "_index"), s.Index)
	}
	poster, err := post.New(p, post.Options{URL: url, Gzip: true, CA: s.CA, Header: header, MaxReply: maxReply})
	if err != nil {
		return nil, fmt.Errorf("caCertificate: %w", err)
	}
	return &Sink{poster: poster, action: connect.Name(action, "_id")}, nil
}

// Send posts a batch as one request.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) (refused []deliver.Refusal, err error) {
	s.body = s.body[:0]
	sent := make([]int, 0, len(batch)) // positions in the batch
	for i := range batch {
		body, err := s.append(s.body, &batch[i])
		if err != nil {
			refused = append(refused, deliver.Refusal{At: i, Reason: err.Error()})
			continue
		}
		s.body, sent = body, append(sent, i)
	}
	if len(sent) == 0 {
		return refused, nil
	}
	reply, err := s.poster.Send(ctx, s.body, nil)
	if err == nil {
		err = reply.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("elasticsearch: %w", err)
	}
	results, err := parse(reply.Body, len(sent))
	if err != nil {
		return nil, fmt.Errorf("elasticsearch: the reply %q is not that of a _bulk: %w", post.Excerpt(reply.Body), err)
	}
	for i, r := range results {
		switch e := &batch[sent[i]]; {
		case r.id != "" && r.id != e.ID():
			return nil, fmt.Errorf("elasticsearch: the reply names %q instead of %s", post.Excerpt(r.id), e.ID())
		case r.accepted():
		case r.refused():
			refused = append(refused, deliver.Refusal{At: sent[i], Reason: r.String()})
		default:
			return nil, fmt.Errorf("elasticsearch: %s", r)
		}
	}
	slices.SortFunc(refused, func(a, b deliver.Refusal) int { return a.At - b.At })
	return refused, nil
}

// Close lets go of idle connections.
func (s *Sink) Close() error { return s.poster.Close() }

// append appends the action and the document of an event: the event, with its time as @timestamp and where it is from
// in front. Of a member that the event has itself it stays the only one.
func (s *Sink) append(dst []byte, e *deliver.Event) ([]byte, error) {
	var timed, named, empty = false, false, true
	if err := connect.Members(e.Line, func(name string, _ []byte) error {
		timed, named, empty = timed || name == "@timestamp", named || name == "weir", false
		return nil
	}); err != nil {
		return nil, err
	}
	dst = append(append(dst, s.action...), '"')
	dst = append(e.AppendID(dst), "\"}}\n{"...)
	if !timed {
		dst = append(connect.Name(dst, "@timestamp"), '"')
		dst = time.UnixMilli(e.Time).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
		dst = append(dst, '"')
	}
	if !named {
		dst = append(connect.Name(dst, "weir"), '{')
		dst = connect.String(connect.Name(dst, "id"), e.ID())
		dst = connect.String(connect.Name(dst, "log"), e.Log)
		dst = connect.String(connect.Name(dst, "name"), e.Name)
		dst = fmt.Appendf(connect.Name(dst, "index"), "%d}", e.Index)
	}
	if !empty && (!timed || !named) {
		dst = append(dst, ',')
	}
	line := bytes.TrimSpace(e.Line)
	return append(append(dst, line[1:]...), '\n'), nil
}
