package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// takeToken takes a token of the caller for a request for an operation with a limit, and tells the client how many are
// left. Each credential has a token bucket, as in Atlas's documentation.
func (s *Server) takeToken(h http.Header, c *call) error {
	most, endpoint := s.limits.PerMinute(), c.operation.limit
	if most == 0 || endpoint == "" {
		return nil
	}
	ok, left, pause := s.limits.Take(c.caller.ID, c.now)
	h.Set("RateLimit-Limit", strconv.Itoa(most))
	h.Set("RateLimit-Remaining", strconv.Itoa(left))
	if ok {
		return nil
	}
	wait := seconds(pause)
	return &problem{status: 429, code: "RATE_LIMITED_TOKEN_BUCKET", retryAfter: time.Duration(wait) * time.Second,
		parameters: []any{endpoint, wait, most, most, 60},
		detail: fmt.Sprintf("Rate limit exceeded for %s. Please retry after %d seconds. Request capacity: %d. Refill "+
			"rate: %d per 60 seconds.",
			endpoint, wait, most, most)}
}
