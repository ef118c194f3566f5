package s3

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// Request is a request that was sent to a store: what its owner bills. A listing has one for each page, an upload in
// parts one for each part and two more, and what is repeated counts again.
type Request struct {
	Operation      string        // get, put, list, delete, or other
	Status         int           // of the reply; 0: there was none
	Sent, Received int64         // bytes of the bodies
	Duration       time.Duration // until the reply's header had come
}

// meter tells of each request, once its reply has been read.
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

// operation names what a request asks for, as stores bill it.
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

// meteredBody counts what is read of a reply.
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
