package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// result is the result of an operation.
type result interface {
	// send writes the reply. If it returns an error and nothing was written, the error becomes the reply. If a part was
	// written, the connection is broken, so that the client does not take the part for the whole.
	send(x *exchange) error
}

// value is a JSON result.
type value struct{ content any }

func (v value) send(x *exchange) error {
	x.w.Header().Set("Content-Type", x.call.operation.media.mediaType(x.call.release))
	x.writeJSON(x.call.operation.status, v.content)
	return nil
}

// nothing is a result without a body.
type nothing struct{}

func (nothing) send(x *exchange) error {
	x.w.WriteHeader(x.call.operation.status)
	return nil
}

// text is a result of a few bytes.
type text struct {
	mediaType string
	caching   string
	data      []byte
}

const textPlain = "text/plain; charset=utf-8"

func (t *text) send(x *exchange) error {
	h := x.w.Header()
	h.Set("Content-Type", t.mediaType)
	h.Set("Cache-Control", t.caching)
	h.Set("Content-Length", strconv.Itoa(len(t.data)))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		x.w.Write(t.data) // an error means that the client has gone
	}
	return nil
}

// stream is a result that is generated while it is sent.
type stream struct {
	mediaType string
	write     func(context.Context, io.Writer) error
}

func (s *stream) send(x *exchange) error {
	x.w.Header().Set("Content-Type", s.mediaType)
	x.w.Header().Set("Cache-Control", "no-cache")
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	return s.write(x.call.context(), x.w)
}

// answer is a result that is computed while the attempt is recorded.
type answer struct {
	find func(ctx context.Context, begun func()) (result, error)

	found bool
	res   result
	err   error
}

func (a *answer) prepare(ctx context.Context, begun func()) {
	a.res, a.err = a.find(ctx, begun)
	a.found = true
}

func (a *answer) send(x *exchange) error {
	if !a.found {
		a.prepare(x.call.context(), func() {})
	}
	if a.err != nil {
		return a.err
	}
	return a.res.send(x)
}

// file is a download.
type file struct {
	name    string
	size    int64  // -1 if it is unknown
	media   string // its media type; if empty, that of the operation
	headers map[string]string
	ahead   func(context.Context) // makes a small file in advance; may be nil
	write   func(context.Context, io.Writer) error
}

// prepare makes a small file in advance. Its content was determined before.
func (f *file) prepare(ctx context.Context, begun func()) {
	begun()
	if f.ahead != nil {
		f.ahead(ctx)
	}
}

func (f *file) send(x *exchange) error {
	h := x.w.Header()
	for name, v := range f.headers {
		h.Set(name, v)
	}
	h.Set("Content-Type", cmp.Or(f.media, x.call.operation.media.mediaType(x.call.release)))
	h.Set("Content-Disposition", disposition(f.name))
	if f.size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(f.size, 10))
	}
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	return f.write(x.call.context(), x.w)
}

// writeJSON replies with JSON, in an envelope and indented if the query asks for it. A 401 is never in an envelope,
// since clients would not respond to its challenge.
func (x *exchange) writeJSON(status int, content any) {
	if x.flag("envelope") && status != http.StatusUnauthorized {
		content = envelope(status, content)
		status = http.StatusOK
	}
	if status == http.StatusNoContent {
		x.w.Header().Del("Content-Type")
		x.w.WriteHeader(status)
		return
	}
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if x.flag("pretty") {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(content); err != nil {
		panic(err) // replies only have types that JSON can encode
	}
	data := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	x.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.w.Write(data) // an error means that the client has gone
	}
}

// flag tells whether the query sets a boolean parameter that all operations in Atlas's form have.
func (x *exchange) flag(name string) bool {
	return x.form().flags && x.r.URL.Query().Get(name) == "true"
}

// envelope wraps a reply with its status, for clients that cannot read the status of HTTP.
func envelope(status int, content any) any {
	if l, ok := content.(list); ok {
		return struct {
			Status int `json:"status"`
			list
		}{status, l}
	}
	if content == nil {
		content = struct{}{}
	}
	return struct {
		Content any `json:"content"`
		Status  int `json:"status"`
	}{content, status}
}
