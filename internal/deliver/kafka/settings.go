package kafka

import (
	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
)

// Settings say which cluster and topic take events, and what signs in there.
type Settings struct {
	brokers.Access
	Topic string `json:"topic"`

	// MaxMessageBytes is the size of the largest batch of messages, before compression, in bytes. That of the topic,
	// max.message.bytes, must not be smaller (default 1,000,000).
	MaxMessageBytes int `json:"maxMessageBytes,omitempty"`
}

// Bounds on settings.
const (
	leastMessage  = 10_000
	mostMessage   = 10_000_000
	usualMessages = 1_000_000
)

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	s.Access.Check(w.Unless)
	w.Unless(brokers.IsTopic(s.Topic), "topic", "must be 1 to 249 letters, digits, '.', '_' or '-'")
	post.CheckCA(w, "caCertificate", s.CA)
	w.Unless(s.MaxMessageBytes == 0 || s.MaxMessageBytes >= leastMessage && s.MaxMessageBytes <= mostMessage,
		"maxMessageBytes", "must be %d to %d", leastMessage, mostMessage)
}

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string { return map[string]*string{"password": &s.Password} }

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return s.Access.Receiver() }

func (s *Settings) maxMessage() int {
	if s.MaxMessageBytes == 0 {
		return usualMessages
	}
	return s.MaxMessageBytes
}
