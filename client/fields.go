package client

import "context"

// EventField is a field of events, or an alias.
type EventField struct {
	Field    string   `json:"field"`    // path or alias
	Alias    bool     `json:"alias"`    // whether Field is an alias
	Types    []string `json:"types"`    // some of "string", "number" and "boolean"
	Events   int64    `json:"events"`   // number of events that have it
	Examples []any    `json:"examples"` // frequent values: strings, numbers or booleans
}

// Fields returns the aliases, and the fields of the events that match a question (weir only). An error reply of the
// server is an *Error.
func (c *Client) Fields(ctx context.Context, q Question) ([]EventField, error) {
	var reply struct {
		Fields []EventField `json:"fields"`
	}
	err := c.callInto(ctx, q.path()+":fields", q.values(), &reply)
	return reply.Fields, err
}
