package deliver

import "fmt"

// Settings describe a place, as a delivery's owner has set it up: a pointer to a plain struct, decoded from JSON.
type Settings interface {
	// Check notes what is wrong. It looks at the form only, and asks nobody.
	Check(*Wrong)

	// Secrets returns the values that are sealed where they are kept and masked where they are shown, under names that are
	// different within the settings.
	Secrets() map[string]*string

	// Receiver returns the settings that say where the secrets are sent, and as which user's. Secrets that are kept are
	// not used with another receiver. It is nil if secrets are not sent, but only sign.
	Receiver() []string
}

// Wrong collects what is wrong with settings.
type Wrong struct{ Attributes []Attribute }

// Attribute is one that is wrong.
type Attribute struct {
	Name   string
	Reason string // such as "must be an https URL"
}

// Unless notes an attribute as wrong, unless ok.
func (w *Wrong) Unless(ok bool, name, format string, args ...any) {
	if !ok {
		w.Attributes = append(w.Attributes, Attribute{name, fmt.Sprintf(format, args...)})
	}
}
