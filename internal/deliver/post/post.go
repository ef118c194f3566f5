// Package post sends batches to places that take them by HTTP, and tells from the reply whether a batch was accepted.
package post

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/visible"
)

// Poster sends batches to one place. It is for one goroutine.
type Poster struct {
	client   *http.Client
	url      string
	header   http.Header
	zip      *gzip.Writer // nil if bodies are not compressed
	maxReply int
}

// Options of a Poster.
type Options struct {
	URL    string
	Header http.Header // of each request
	Gzip   bool        // compress bodies
	CA     string      // certificates of authorities, in PEM, that are trusted in the place of the system's

	// MaxReply is how much is read of a reply, in bytes (default MaxReply). A longer one is not one of success.
	MaxReply int
}

// New returns a Poster that sends to one place. The time that a request takes is bounded by its context.
func New(p *egress.Policy, o Options) (*Poster, error) {
	client, err := p.Client(egress.Options{CA: []byte(o.CA)})
	if err != nil {
		return nil, err
	}
	poster := &Poster{client: client, url: o.URL, header: o.Header, maxReply: cmp.Or(o.MaxReply, MaxReply)}
	if o.Gzip {
		if poster.zip, err = gzip.NewWriterLevel(nil, gzip.BestSpeed); err != nil {
			return nil, err
		}
		poster.header = o.Header.Clone()
		poster.header.Set("Content-Encoding", "gzip")
	}
	return poster, nil
}

// Close lets go of connections.
func (p *Poster) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// Reply is the reply of a place.
type Reply struct {
	Status int
	Type   string // media type, without parameters
	Body   []byte // the beginning of it, of bounded length
}

// MaxReply is how much is read of a reply, in bytes, unless Options say otherwise.
const MaxReply = 64 << 10

// Send sends a body, with headers besides those of all requests. Reply is there whatever the status is. An error says
// that there was no reply.
func (p *Poster) Send(ctx context.Context, body []byte, more http.Header) (*Reply, error) {
	return p.SendTo(ctx, p.url, body, more)
}

// SendTo is Send to another URL.
func (p *Poster) SendTo(ctx context.Context, to string, body []byte, more http.Header) (*Reply, error) {
	body, err := p.pack(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, egress.WithoutURL(err)
	}
	r.Header = p.header.Clone()
	for name, values := range more {
		r.Header[name] = values
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return nil, egress.WithoutURL(err)
	}
	defer answer.Body.Close()
	reply := &Reply{Status: answer.StatusCode}
	if t := answer.Header.Get("Content-Type"); t != "" {
		if reply.Type, _, err = mime.ParseMediaType(t); err != nil {
			reply.Type = "(unknown)"
		}
	}
	if reply.Body, err = io.ReadAll(io.LimitReader(answer.Body, int64(p.maxReply)+1)); err != nil {
		return nil, fmt.Errorf("read the reply: %w", err)
	}
	if len(reply.Body) > p.maxReply {
		if reply.Body = reply.Body[:p.maxReply]; reply.OK() {
			return nil, fmt.Errorf("the reply is longer than %d bytes: %s", p.maxReply, reply.Text())
		}
	}
	if pause := retry.Asked(answer.Header); pause > 0 && !reply.OK() {
		return reply, &deliver.RetryAfter{Pause: pause, Err: reply.Err()}
	}
	return reply, nil
}

func (p *Poster) pack(body []byte) ([]byte, error) {
	if p.zip == nil {
		return body, nil
	}
	var packed bytes.Buffer // a new one: the transport may still read that of a request that was given up
	p.zip.Reset(&packed)
	if _, err := p.zip.Write(body); err != nil {
		return nil, err
	}
	if err := p.zip.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// OK tells whether the status is one of success. Whether the place has accepted the batch may stand in the body.
func (r *Reply) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Err returns the error of a reply, or nil if OK. If the cause is the batch, and not the place or the way there, the
// error is deliver.ErrTooMuch (wrapped).
func (r *Reply) Err() error {
	switch {
	case r.OK():
		return nil
	case r.Status == http.StatusBadRequest, r.Status == http.StatusRequestEntityTooLarge,
		r.Status == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %s", deliver.ErrTooMuch, r.Text())
	}
	return errors.New(r.Text())
}

// maxText bounds the excerpt of a text of the other side, in bytes.
const maxText = 200

// Text returns the status of a reply and the beginning of its body, for people.
func (r *Reply) Text() string {
	status := strings.TrimSpace(fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status)))
	if text := Excerpt(r.Body); text != "" {
		return status + ": " + text
	}
	return status
}

// Excerpt returns the beginning of a text of the other side, on one line and without control characters of a terminal.
func Excerpt[T string | []byte](of T) string {
	text := strings.TrimSpace(string(of[:min(len(of), maxText+utf8.UTFMax)]))
	if len(text) > maxText {
		end := maxText
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return visible.Text(strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " "))
}

// CheckURL notes an attribute that is not the URL of a place.
func CheckURL(w *deliver.Wrong, name, value string) {
	u, err := url.Parse(value)
	w.Unless(err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		u.Fragment == "" && len(value) <= maxURL && IsHeaderValue(value), name,
		"must be a URL in ASCII that begins with https:// or http://, has no user in it, and at most %d bytes", maxURL)
}

const maxURL = 2048

// CheckCA notes an attribute that has no certificates of authorities.
func CheckCA(w *deliver.Wrong, name, value string) {
	_, err := egress.TLS([]byte(value))
	w.Unless(err == nil && len(value) <= maxCA, name, "must be certificates in PEM, of at most %d bytes", maxCA)
}

const maxCA = 16 << 10

// IsHeader tells whether a name and a value can be a header of a request.
func IsHeader(name, value string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	}) && IsHeaderValue(value)
}

// IsHeaderValue tells whether a text can be the value of a header: it has printable characters of ASCII only.
func IsHeaderValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) &&
		strings.TrimSpace(value) == value
}

// WithPath returns a URL with a path, if it has none.
func WithPath(text, path string) string {
	u, err := url.Parse(text)
	if err != nil || u.Path != "" && u.Path != "/" {
		return text
	}
	u.Path = path
	return u.String()
}
