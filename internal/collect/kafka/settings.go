package kafka

import (
	"regexp"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/brokers"
)

// Settings say which topics of which cluster are collected, and what their messages are.
type Settings struct {
	brokers.Access
	Topics  []string `json:"topics,omitempty"`
	Pattern string   `json:"topicPattern,omitempty"` // in place of topics: a regular expression for whole names
	Group   string   `json:"group,omitempty"`        // where the cluster is told how far they were collected

	Mapping   Mapping `json:"mapping"`
	TimeField string  `json:"timeField,omitempty"`       // of JSON: names with dots between them
	Naming    string  `json:"workspaceNaming,omitempty"` // (default {topic})
}

// Mapping is the format of the messages.
type Mapping string

// The mappings.
const (
	OCSF      Mapping = "OCSF"      // events of OCSF
	Confluent Mapping = "CONFLUENT" // audit events of Confluent
	JSON      Mapping = "JSON"      // objects in JSON
	Raw       Mapping = "RAW"       // bytes
)

// Mappings returns all mappings.
func Mappings() []Mapping { return []Mapping{OCSF, Confluent, JSON, Raw} }

const (
	topicName = "{topic}" // stands for the name of a topic

	maxTopics  = 100
	maxPattern = 256 // bytes
	maxName    = 249
)

// Check tells what is wrong with the settings, but for the certificates; see brokers.Access.Check.
func (s *Settings) Check(unless func(ok bool, name, format string, args ...any)) {
	s.Access.Check(unless)
	unless((len(s.Topics) == 0) != (s.Pattern == ""), "topics", "must be given, or topicPattern, and not both")
	wrong := func(topic string) bool { return !brokers.IsTopic(topic) }
	unless(len(s.Topics) <= maxTopics && !slices.ContainsFunc(s.Topics, wrong), "topics",
		"must have at most %d elements, all of them names of topics", maxTopics)
	_, err := s.pattern()
	unless(err == nil && len(s.Pattern) <= maxPattern, "topicPattern", "must be a regular expression of at most %d bytes",
		maxPattern)
	unless(len(s.Group) <= maxName && isPlain(s.Group), "group", "must have at most %d printable characters", maxName)
	unless(slices.Contains(Mappings(), s.Mapping), "mapping", "must be one of %v", Mappings())
	unless(s.TimeField == "" || s.Mapping == JSON, "timeField", "is for the mapping %s only", JSON)
	unless(len(s.TimeField) <= maxName && isPlain(s.TimeField), "timeField", "must have at most %d printable characters",
		maxName)
	rest := strings.ReplaceAll(s.Naming, topicName, "")
	unless(len(s.Naming) <= maxName && !strings.ContainsFunc(rest, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}), "workspaceNaming", "may only have {topic}, letters, digits, '-' and '_'")
}

func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xFFFD })
}

func (s *Settings) pattern() (*regexp.Regexp, error) {
	return regexp.Compile(`\A(?:` + s.Pattern + `)\z`)
}

// chooses tells whether a topic is to be collected, by its name alone.
func (s *Settings) chooses(topic string, pattern *regexp.Regexp) bool {
	if len(s.Topics) > 0 {
		return slices.Contains(s.Topics, topic)
	}
	return pattern.MatchString(topic)
}

// place returns the name of the workspace that takes the messages of a topic.
func (s *Settings) place(topic string) string {
	if s.Naming == "" {
		return topic
	}
	return strings.ReplaceAll(s.Naming, topicName, topic)
}
