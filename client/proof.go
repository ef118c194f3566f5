package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

const (
	maxFetch = 16 << 20 // maximum size of what Fetch returns, in bytes
	maxProof = 1 << 30  // maximum size of the proof of a file, in bytes
)

// Fetch returns the text or bytes at a path of the API, at most 16 MiB. An error reply of the server is an *Error.
func (c *Client) Fetch(ctx context.Context, path string, query url.Values) ([]byte, error) {
	body, err := c.open(ctx, path, query, maxFetch)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("the server's reply: %w", err)
	}
	return data, nil
}

// open returns the body at a path of the API. Reading more than most bytes of it fails.
func (c *Client) open(ctx context.Context, path string, query url.Values, most int64) (io.ReadCloser, error) {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	return &bounded{ReadCloser: resp.Body, most: most, left: most}, nil
}

// bounded is a body of which at most most bytes can be read.
type bounded struct {
	io.ReadCloser
	most, left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("more than %d bytes", b.most)
	}
	return n, err
}

// FileProof returns the proof of which entries a download holds. The arguments are the path of its log, the query of
// the download, and the number of entries that were sequenced at that time. The proof has at most 1 GiB. The caller
// closes it. An error reply of the server is an *Error.
func (c *Client) FileProof(ctx context.Context, logPath string, q Query, sequenced int64) (io.ReadCloser, error) {
	values := q.values()
	values.Set("size", strconv.FormatInt(sequenced, 10))
	return c.open(ctx, logPath+"/proof", values, maxProof)
}
