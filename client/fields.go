package client

import "context"

// EventField is a field of events, or an alias, and what is known of it.
type EventField struct {
	Field    string   `json:"field"`
	Alias    bool     `json:"alias"`
	Types    []string `json:"types"`  // of "string", "number" and "boolean"
	Events   int64    `json:"events"` // that have it
	Examples []any    `json:"examples"`
}

// Fields returns the fields that the events have which a question asks for, and the aliases (weir only). Errors of the
// server are *Error.
func (c *Client) Fields(ctx context.Context, q Question) ([]EventField, error) {
	var reply struct {
		Fields []EventField `json:"fields"`
	}
	err := c.callInto(ctx, q.path()+":fields", q.values(), &reply)
	return reply.Fields, err
}
