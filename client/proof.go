package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// maxProof bounds what is read of a proof, in bytes.
const maxProof = 1 << 30

// Fetch returns what is at a path of the API, as text or bytes of at most 1 GiB. Errors of the server are *Error.
func (c *Client) Fetch(ctx context.Context, path string, query url.Values) ([]byte, error) {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProof+1))
	if err == nil && len(data) > maxProof {
		err = fmt.Errorf("it has more than %d bytes", maxProof)
	}
	if err != nil {
		return nil, fmt.Errorf("the server's reply: %w", err)
	}
	return data, nil
}

// FileProof returns the proof of which entries a download holds, given the path of its log, the query that it answered, and
// how many entries were sequenced then.
func (c *Client) FileProof(ctx context.Context, logPath string, q Query, sequenced int64) ([]byte, error) {
	values := q.values()
	values.Set("size", strconv.FormatInt(sequenced, 10))
	return c.Fetch(ctx, logPath+"/proof", values)
}
