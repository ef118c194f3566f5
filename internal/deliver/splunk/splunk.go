// Package splunk sends events to Splunk's HTTP Event Collector, and to other systems with its protocol. The event is as
// it was recorded; its id is the indexed field weir_id.
package splunk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/retry"
)

// Settings are the attributes that Atlas's API has for such a place, and some that only weir has.
type Settings struct {
	URL         string `json:"hecUrl"` // without a path, /services/collector/event
	Token       string `json:"hecToken"`
	Index       string `json:"hecIndex,omitempty"`      // if empty, the token's
	SourceType  string `json:"hecSourceType,omitempty"` // if empty, the token's
	Acknowledge bool   `json:"hecAcknowledge,omitempty"`
	CA          string `json:"caCertificate,omitempty"` // in PEM; if empty, the system's count
}

const maxName = 256

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	post.CheckURL(w, "hecUrl", s.URL)
	post.CheckCA(w, "caCertificate", s.CA)
	w.Unless(s.Token != "" && len(s.Token) <= maxName && post.IsHeaderValue(s.Token), "hecToken",
		"must be the token of a collector, of at most %d bytes", maxName)
	for name, value := range map[string]string{"hecIndex": s.Index, "hecSourceType": s.SourceType} {
		w.Unless(len(value) <= maxName && utf8.ValidString(value), name, "may have at most %d bytes", maxName)
	}
}

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string { return map[string]*string{"hecToken": &s.Token} }

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return []string{s.URL, s.CA} }

// Sink is an HTTP Event Collector.
type Sink struct {
	settings Settings
	post     *post.Poster
	body     []byte
	acks     string // where acknowledgements are asked for; empty if they are not
	channel  http.Header
	taken    *int64 // the ackId of the batch that was sent last; nil if nothing of it was taken

	// ask asks for an acknowledgement.
	ask func(ctx context.Context, body []byte) (*post.Reply, error)
}

// New returns the sink that settings describe.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	address := post.WithPath(s.URL, "/services/collector/event")
	poster, err := post.New(p, post.Options{URL: address, Gzip: true, CA: s.CA, Header: http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Splunk " + s.Token}, "User-Agent": {"weir"}}})
	if err != nil {
		return nil, err
	}
	sink := &Sink{settings: s, post: poster}
	if s.Acknowledge {
		u, err := url.Parse(address)
		if err != nil {
			return nil, errors.New("hecUrl is not a URL")
		}
		channel := newChannel()
		u.Path, u.RawQuery = "/services/collector/ack", "channel="+channel
		sink.acks, sink.channel = u.String(), http.Header{"X-Splunk-Request-Channel": {channel}}
		sink.ask = func(ctx context.Context, body []byte) (*post.Reply, error) {
			return poster.SendTo(ctx, sink.acks, body, sink.channel)
		}
	}
	return sink, nil
}

// newChannel returns a random UUID, by which a collector tells senders apart.
func newChannel() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// Close implements deliver.Sink.
func (s *Sink) Close() error { return s.post.Close() }

// answer is the reply of a collector to a request.
type answer struct {
	Text    *string `json:"text"`
	Code    *int    `json:"code"`
	Invalid *int    `json:"invalid-event-number"`
	Ack     *int64  `json:"ackId"`
}

// Codes of a collector.
const (
	success       = 0
	invalidFormat = 6
	noEvent       = 12
	blankEvent    = 13
	invalidFields = 15
)

// aboutAnEvent are codes that say that an event is wrong, and not the token, the index or the collector.
var aboutAnEvent = []int{invalidFormat, noEvent, blankEvent, invalidFields}

// mostRefused is how many events a collector names, one after the other, before the batch is halved.
const mostRefused = 8

// Send implements deliver.Sink. If the collector names an event that it refuses, the batch is sent again without it: it
// does not say what became of those before it.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) ([]deliver.Refusal, error) {
	var refused []deliver.Refusal
	s.taken = nil
	left := make([]int, len(batch)) // positions in the batch
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		s.body = s.body[:0]
		for _, i := range left {
			s.body = s.append(s.body, &batch[i])
		}
		a, err := s.sendOnce(ctx)
		var wrong *wrongEvent
		if errors.As(err, &wrong) && wrong.number >= 0 && wrong.number < len(left) && len(refused) < mostRefused {
			refused = append(refused, deliver.Refusal{At: left[wrong.number], Reason: wrong.reason})
			left = slices.Delete(left, wrong.number, wrong.number+1)
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.taken = a.Ack; s.acks != "" && s.taken == nil {
			return nil, errors.New("the collector gives no ackId: acknowledgements are not enabled for its token")
		}
		break
	}
	slices.SortFunc(refused, func(a, b deliver.Refusal) int { return a.At - b.At })
	return refused, nil
}

// wrongEvent says which event of a request a collector refuses.
type wrongEvent struct {
	number int // from 0; -1 if it does not say
	reason string
}

func (e *wrongEvent) Error() string { return e.reason }

func (e *wrongEvent) Unwrap() error { return deliver.ErrTooMuch }

func (s *Sink) sendOnce(ctx context.Context) (answer, error) {
	reply, err := s.post.Send(ctx, s.body, s.channel)
	if err != nil {
		return answer{}, err
	}
	a, err := read(reply)
	switch {
	case err == nil && reply.OK() && *a.Code == success:
		return a, nil
	case err == nil && slices.Contains(aboutAnEvent, *a.Code):
		wrong := &wrongEvent{-1, reply.Text()}
		if a.Invalid != nil {
			wrong.number = *a.Invalid
		}
		return a, wrong
	case reply.Status == http.StatusRequestEntityTooLarge:
		return a, reply.Err()
	case err == nil || !reply.OK():
		return a, errors.New(reply.Text()) // of the token, the index, the collector, or a proxy before it
	}
	return a, fmt.Errorf("the reply is not one of a collector: %w: %s", err, reply.Text())
}

// read reads the reply of a collector.
func read(r *post.Reply) (a answer, err error) {
	if err := json.Unmarshal(r.Body, &a); err != nil {
		return answer{}, err
	}
	if a.Code == nil {
		return answer{}, errors.New("it has no code")
	}
	return a, nil
}

// askAgain is when a collector is asked again whether it has indexed what it took.
var askAgain = retry.Policy{First: 100 * time.Millisecond, Longest: 10 * time.Second}

// askWithin bounds how long the collector has for an answer to that.
const askWithin = 30 * time.Second

// Acknowledged implements deliver.Acknowledger: it returns once the collector says that the events of the last batch
// are indexed. An indexer that is busy takes minutes. Events that are sent again meanwhile make it busier, so a
// question that fails on its way is asked again.
func (s *Sink) Acknowledged(ctx context.Context) error {
	if s.acks == "" || s.taken == nil {
		return nil
	}
	pauses := askAgain.Pauses()
	for {
		indexed, err := s.indexed(ctx, strconv.FormatInt(*s.taken, 10))
		if indexed || errors.As(err, new(*noAnswer)) {
			return err
		}
		if asks := (*deliver.RetryAfter)(nil); errors.As(err, &asks) {
			err = retry.After(err, asks.Pause)
		}
		if !retry.Wait(ctx, pauses.Next(err)) {
			return errors.Join(fmt.Errorf("the events were taken, but not acknowledged: %w", context.Cause(ctx)), err)
		}
	}
}

// noAnswer says that a collector does not tell, and will not, whether it has indexed something.
type noAnswer struct{ text string }

func (e *noAnswer) Error() string { return "ask for an acknowledgement: " + e.text }

// indexed asks once whether the events of a request are indexed.
func (s *Sink) indexed(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	reply, err := s.ask(ctx, []byte(`{"acks":[`+id+`]}`))
	switch {
	case reply != nil && reply.Status >= 400 && reply.Status < 500 && reply.Status != http.StatusTooManyRequests &&
		reply.Status != http.StatusRequestTimeout:
		return false, &noAnswer{reply.Text()}
	case err != nil:
		return false, fmt.Errorf("ask for an acknowledgement: %w", err)
	case !reply.OK():
		return false, fmt.Errorf("ask for an acknowledgement: %s", reply.Text())
	}
	var status struct {
		Acks map[string]bool `json:"acks"`
	}
	if err := json.Unmarshal(reply.Body, &status); err != nil {
		return false, &noAnswer{reply.Text()}
	}
	return status.Acks[id], nil
}

// append appends the object of an event.
func (s *Sink) append(dst []byte, e *deliver.Event) []byte {
	dst = append(dst, `{"time":`...)
	dst = strconv.AppendInt(dst, e.Time/1000, 10)
	if ms := e.Time % 1000; ms > 0 {
		dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	dst = connect.String(connect.Name(dst, "source"), e.Name)
	if s.settings.SourceType != "" {
		dst = connect.String(connect.Name(dst, "sourcetype"), s.settings.SourceType)
	}
	if s.settings.Index != "" {
		dst = connect.String(connect.Name(dst, "index"), s.settings.Index)
	}
	dst = append(connect.Name(dst, "fields"), `{"weir_id":"`...)
	dst = append(e.AppendID(dst), `"}`...)
	dst = append(connect.Name(dst, "event"), e.Line...)
	return append(dst, '}', '\n')
}
