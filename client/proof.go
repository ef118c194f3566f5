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
	maxFetch = 16 << 20 // bytes that Fetch returns
	maxProof = 1 << 30  // bytes of a proof of a file
)

// Fetch returns what is at a path of the API, as text or bytes of at most 16 MiB. Errors of the server are *Error.
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

// open returns what is at a path of the API, which fails to be read beyond most bytes.
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

// bounded fails to be read beyond so many bytes.
type bounded struct {
	io.ReadCloser
	most, left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("it has more than %d bytes", b.most)
	}
	return n, err
}

// FileProof returns the proof of which entries a download holds, given the path of its log, the query that it answered,
// and how many entries were sequenced then. It can be of up to 1 GiB. The caller closes it. Errors of the server are
// *Error.
func (c *Client) FileProof(ctx context.Context, logPath string, q Query, sequenced int64) (io.ReadCloser, error) {
	values := q.values()
	values.Set("size", strconv.FormatInt(sequenced, 10))
	return c.open(ctx, logPath+"/proof", values, maxProof)
}
