package api

import (
	"slices"

	"github.com/weirlog/weir/internal/collect/kafka"
)

// newKafka has the attributes of a creation or an update that describe the topics of a source.
type newKafka struct {
	Servers   *string   `json:"bootstrapServers"`
	Plaintext *bool     `json:"plaintext"`
	CA        *string   `json:"caCertificate"`
	Mechanism *string   `json:"mechanism"`
	Username  *string   `json:"username"`
	Password  *string   `json:"password"`
	TokenURL  *string   `json:"tokenUrl"`
	Scope     *string   `json:"scope"`
	Topics    *[]string `json:"topics"`
	Pattern   *string   `json:"topicPattern"`
	Group     *string   `json:"group"`
	Mapping   *string   `json:"mapping"`
	TimeField *string   `json:"timeField"`
	Naming    *string   `json:"workspaceNaming"`
}

// showKafka returns the settings of a source without its password.
func showKafka(s *kafka.Settings) *kafka.Settings {
	if s == nil {
		return nil
	}
	v := *s
	v.Password = ""
	return &v
}

// apply changes all but the password.
func (in *newKafka) apply(s *kafka.Settings) {
	set(&s.BootstrapServers, in.Servers)
	set(&s.Plaintext, in.Plaintext)
	set(&s.CA, in.CA)
	set(&s.Mechanism, in.Mechanism)
	set(&s.Username, in.Username)
	set(&s.TokenURL, in.TokenURL)
	set(&s.Scope, in.Scope)
	set(&s.Group, in.Group)
	set(&s.TimeField, in.TimeField)
	set(&s.Naming, in.Naming)
	if in.Topics != nil {
		s.Topics, s.Pattern = slices.Clone(*in.Topics), ""
	}
	if in.Pattern != nil {
		s.Pattern = *in.Pattern
		if in.Topics == nil {
			s.Topics = nil
		}
	}
	if in.Mapping != nil {
		s.Mapping = kafka.Mapping(*in.Mapping)
	}
}

// secret checks the settings that a body makes, and returns the password that it has for them; empty if it has none. A
// password is used only with the brokers, the authorities and the user that it was given with. Without this check, a
// caller that may change a source could have it sent elsewhere.
func (in *newKafka) secret(was, is *kafka.Settings) (string, error) {
	if in == nil {
		return "", nil
	}
	const kept = "-" // stands for a password that stays hidden
	checked := *is
	switch {
	case in.Password != nil:
		checked.Password = *in.Password
	case is.Mechanism == "":
		checked.Password = ""
	default:
		checked.Password = kept
	}
	var k checks
	checked.Check(func(ok bool, name, format string, args ...any) { k.check(ok, "kafka."+name, format, args...) })
	k.check(is.CA == "" || len(is.CA) <= maxCA && areCertificates(is.CA), "kafka.caCertificate",
		"must be certificates in PEM, of at most %d bytes", maxCA)
	moved := was == nil || !slices.Equal(was.Receiver(), is.Receiver())
	k.check(is.Mechanism == "" || !moved || in.Password != nil, "kafka.password",
		"must be given, because the brokers, the certificates or the user that it is for are new")
	if is.Mechanism == "" {
		is.Password = ""
	}
	if err := k.err(); err != nil || in.Password == nil {
		return "", err
	}
	return *in.Password, nil
}
