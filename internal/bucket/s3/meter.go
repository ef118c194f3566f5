package s3

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// Request describes one request that was sent to a storage, as its provider bills it. A listing takes one for each
// page. An upload in parts takes one for each part and two more. A repeated request counts again.
type Request struct {
	Operation      string        // get, put, list, delete, or other
	Status         int           // of the reply; 0 if there was none
	Sent, Received int64         // size of the bodies in bytes
	Duration       time.Duration // until the header of the reply arrived
}

// meter reports each request, after its reply was read.
type meter struct {
	next    http.RoundTripper
	observe func(Request)
}

func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := m.next.RoundTrip(r)
	done := Request{Operation: operation(r), Sent: max(r.ContentLength, 0), Duration: time.Since(began)}
	if err != nil {
		m.observe(done)
		return resp, err
	}
	done.Status = resp.StatusCode
	resp.Body = &meteredBody{ReadCloser: resp.Body, request: done, observe: m.observe}
	return resp, nil
}

// operation returns the kind of a request, as providers bill it.
func operation(r *http.Request) string {
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && query.Has("list-type"):
		return "list"
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return "get"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodDelete || r.Method == http.MethodPost && query.Has("delete"):
		return "delete"
	}
	return "other"
}

// meteredBody counts the bytes of a reply that are read.
type meteredBody struct {
	io.ReadCloser
	request Request
	once    sync.Once
	observe func(Request)
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.request.Received += int64(n)
	return n, err
}

func (b *meteredBody) Close() error {
	b.once.Do(func() { b.observe(b.request) })
	return b.ReadCloser.Close()
}
