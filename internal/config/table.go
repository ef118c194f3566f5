package config

import (
	"fmt"
	"strings"
)

// Table returns the settings as the Markdown table of docs/operating.md.
func Table() string {
	c := Default()
	var b strings.Builder
	b.WriteString("| setting | value | default | what it is |\n|---|---|---|---|\n")
	for _, s := range c.settings() {
		name := "`--" + s.name + "`"
		if s.secret {
			name = "`" + Variable(s.name) + "` (environment only)"
		}
		value, standard := s.Type(), s.String()
		if s.bounds() != "" {
			value += ": " + s.bounds()
		}
		switch {
		case s.unset != "":
			standard = s.unset
		case standard == "":
			standard = "none"
		default:
			standard = "`" + standard + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, value, standard, strings.ReplaceAll(s.help, "`", ""))
	}
	return b.String()
}
