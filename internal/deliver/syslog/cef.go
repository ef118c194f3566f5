package syslog

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weirlog/weir/internal/deliver"
)

// cefSeverities is CEF's severity, 0 to 10, by OCSF's severity_id.
var cefSeverities = [...]int{3, 3, 4, 6, 8, 9, 10}

// member is one of an event's extension: its key, and how many bytes its value may have in CEF's dictionary.
type member struct {
	key   string
	most  int
	value string
}

// appendCEF appends the event that was read as CEF, in at most room bytes:
//
//	CEF:0|weir|weir|1|3004|drop|4|rt=1763978401002 externalId=6a79…/7 suser=anna …
//
// Members that there is no room for are left out, the last ones first. externalId leads to the whole event.
func (n *encoder) appendCEF(dst []byte, e *deliver.Event, room int) []byte {
	begin := len(dst)
	class, name := n.value(classField), n.value(whatField)
	if name == "" {
		name = "event"
	}
	dst = fmt.Appendf(dst, "CEF:0|weir|weir|1|%s|%s|%d|rt=%d externalId=%s", inHeader(shortened(class, 100)),
		inHeader(shortened(name, 512)), cefSeverities[n.severity()], e.Time, inExtension(e.ID()))
	for _, m := range n.members(e) {
		value := inExtension(shortened(m.value, m.most))
		if value != "" && len(dst)-begin+len(m.key)+len(value)+2 <= room {
			dst = fmt.Appendf(dst, " %s=%s", m.key, value)
		}
	}
	return dst
}

func (n *encoder) members(e *deliver.Event) []member {
	all := []member{{"suser", 1023, n.value(whoField)}, {"act", 63, n.value(whatField)},
		{"outcome", 63, n.value(outcomeField)}}
	if a, err := netip.ParseAddr(n.value(fromField)); err == nil {
		if a = a.Unmap(); a.Is4() {
			all = append(all, member{"src", 15, a.String()})
		} else {
			all = append(all, member{"c6a2Label", 16, "Source IPv6 Address"}, member{"c6a2", 60, a.String()})
		}
		all = append(all, member{"spt", 5, n.value(portField)})
	}
	if target := n.value(targetField); target != "" {
		all = append(all, member{"cs2Label", 16, "target"}, member{"cs2", 4000, target})
	}
	return append(all, member{"cs1Label", 16, "log"}, member{"cs1", 4000, e.Name},
		member{"msg", 1023, n.value(messageField)})
}

// shortened returns at most so many bytes of a text, in valid UTF-8.
func shortened(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return cut(text[:min(len(text), most)])
}

// inHeader returns a text as a field of CEF's header.
func inHeader(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", " ", "\r", " ").Replace(text)
}

// inExtension returns a text as a value of CEF's extension.
func inExtension(text string) string {
	return strings.NewReplacer(`\`, `\\`, "=", `\=`, "\n", `\n`, "\r", `\r`).Replace(text)
}
