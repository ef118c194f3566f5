// Package otlp sends events as OpenTelemetry's log records: OTLP/HTTP in protobuf, compressed with gzip. The body of a
// record is the event as it was recorded.
package otlp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
	"github.com/weirlog/weir/internal/egress"
)

// Settings are the attributes that Atlas's API has for such a place, and a certificate authority.
type Settings struct {
	Endpoint string   `json:"otelEndpoint"` // without a path, /v1/logs
	Headers  []Header `json:"otelSuppliedHeaders"`
	CA       string   `json:"caCertificate,omitempty"` // in PEM; if empty, the system's count
}

// Header is one of each request.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const (
	maxHeaders     = 10
	maxHeaderBytes = 2 << 10
)

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	post.CheckURL(w, "otelEndpoint", s.Endpoint)
	post.CheckCA(w, "caCertificate", s.CA)
	const name = "otelSuppliedHeaders"
	w.Unless(len(s.Headers) > 0 && len(s.Headers) <= maxHeaders, name, "must have from 1 to %d elements", maxHeaders)
	size, seen := 0, map[string]bool{}
	for _, h := range s.Headers {
		size += len(h.Name) + len(h.Value)
		lower := strings.ToLower(h.Name)
		w.Unless(post.IsHeader(h.Name, h.Value) && !seen[lower] && !ours[lower], name,
			"must have valid HTTP headers, each name once, and none that weir sets itself")
		seen[lower] = true
	}
	w.Unless(size <= maxHeaderBytes, name, "may have at most %d bytes", maxHeaderBytes)
}

// ours are the headers that belong to the request itself.
var ours = map[string]bool{"content-type": true, "content-encoding": true, "content-length": true, "host": true,
	"transfer-encoding": true, "connection": true, "trailer": true, "te": true, "upgrade": true}

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string {
	secrets := map[string]*string{}
	for i := range s.Headers {
		secrets["header "+strings.ToLower(s.Headers[i].Name)] = &s.Headers[i].Value
	}
	return secrets
}

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return []string{s.Endpoint, s.CA} }

// Sink is a place that takes OTLP.
type Sink struct {
	post *post.Poster
	body []byte
}

// New returns the sink that settings describe.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	header := http.Header{"Content-Type": {"application/x-protobuf"}, "User-Agent": {"weir"}}
	for _, h := range s.Headers {
		header.Set(h.Name, h.Value)
	}
	poster, err := post.New(p, post.Options{URL: post.WithPath(s.Endpoint, "/v1/logs"), Header: header, Gzip: true,
		CA: s.CA})
	if err != nil {
		return nil, err
	}
	return &Sink{post: poster}, nil
}

// Close implements deliver.Sink.
func (s *Sink) Close() error { return s.post.Close() }

// Send implements deliver.Sink.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) ([]deliver.Refusal, error) {
	s.body = Append(s.body[:0], batch)
	reply, err := s.post.Send(ctx, s.body, nil)
	if err == nil {
		err = reply.Err()
	}
	if err != nil {
		return nil, err
	}
	rejected, why, err := partial(reply)
	switch {
	case err != nil:
		return nil, err
	case rejected == 0:
		return nil, nil
	case len(batch) == 1:
		return []deliver.Refusal{{At: 0, Reason: why}}, nil
	}
	// It does not say which ones: those that it has accepted are sent again, in smaller batches.
	return nil, fmt.Errorf("%w: it rejects %d of %d log records: %s", deliver.ErrTooMuch, rejected, len(batch), why)
}

// partial returns how many records a reply of success says were rejected, and why.
func partial(r *post.Reply) (rejected int64, why string, err error) {
	switch {
	case len(r.Body) == 0:
		return 0, "", nil
	case r.Type == "application/x-protobuf":
		rejected, why, err = partialProto(r.Body)
	case r.Type == "application/json":
		rejected, why, err = partialJSON(r.Body)
	default:
		err = fmt.Errorf("its type is %.40q", r.Type)
	}
	if err != nil {
		return 0, "", fmt.Errorf("the reply is not one of OTLP: %w: %s", err, r.Text())
	}
	return max(rejected, 0), why, nil
}

// Numbers of fields of ExportLogsServiceResponse, and of the message in it.
const (
	partialSuccess = 1
	rejectedNumber = 1
	errorMessage   = 2
)

func partialProto(body []byte) (rejected int64, why string, err error) {
	err = fields(body, func(number protowire.Number, value []byte, _ uint64) error {
		if number != partialSuccess || value == nil {
			return nil
		}
		return fields(value, func(number protowire.Number, value []byte, n uint64) error {
			switch {
			case number == rejectedNumber && value == nil:
				rejected = int64(n)
			case number == errorMessage && value != nil:
				why = string(value)
			}
			return nil
		})
	})
	return rejected, why, err
}

// fields calls each with the fields of a message: with the bytes of one that has a length, or with a varint. Others are
// passed over.
func fields(b []byte, each func(number protowire.Number, value []byte, n uint64) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var value []byte
		var varint uint64
		known := true
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		default:
			n, known = protowire.ConsumeFieldValue(number, kind, b), false
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if known {
			if err := each(number, value, varint); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

func partialJSON(body []byte) (rejected int64, why string, err error) {
	var reply struct {
		Partial struct {
			Rejected json.RawMessage `json:"rejectedLogRecords"` // a number, or a text with one
			Message  string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return 0, "", err
	}
	text := strings.Trim(string(reply.Partial.Rejected), `"`)
	if text == "" || text == "null" {
		return 0, reply.Partial.Message, nil
	}
	if err := json.Unmarshal([]byte(text), &rejected); err != nil {
		return 0, "", errors.New("rejectedLogRecords is not a number")
	}
	return rejected, reply.Partial.Message, nil
}
