package places

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/s3"
	"github.com/weirlog/weir/internal/deliver/syslog"
)

// Formats in which events are handed over.
const (
	Recorded = "RECORDED" // as they were recorded, in whatever the place has around them
	OTLP     = "OTLP"     // as log records of OpenTelemetry
	CEF      = "CEF"      // as messages of ArcSight's Common Event Format
	Parquet  = "PARQUET"  // as tables, by the rules of Amazon Security Lake
)

// allFormats are those that any kind of place knows.
var allFormats = []string{Recorded, OTLP, CEF, Parquet}

// format is one that a kind of place knows.
type format struct {
	name string
	own  string // what an attribute of the settings says of it, if it is not the kind's only one
}

var (
	recordedOnly = []format{{name: Recorded}}
	otlpOnly     = []format{{name: OTLP}}
)

// formatted is implemented by settings of kinds that know several formats.
type formatted interface {
	// OwnFormat returns the attribute that says in which format events are sent, and its name.
	OwnFormat() (attribute *string, name string)
}

var (
	_ formatted = (*s3.Settings)(nil)
	_ formatted = (*syslog.Settings)(nil)
)

// Formats returns the formats that a kind of place knows, the usual one first.
func Formats(kind string) (names []string) {
	for _, f := range formatsOf(kind) {
		names = append(names, f.name)
	}
	return names
}

func formatsOf(kind string) []format {
	for _, k := range kinds {
		if k.name == kind {
			return k.formats
		}
	}
	return nil
}

// SetFormat has settings of a kind of place say the format. If the kind does not know it, or the settings say another
// one, it returns the reason and changes nothing.
func SetFormat(kind string, s deliver.Settings, name string) (refused string) {
	known := formatsOf(kind)
	i := slices.IndexFunc(known, func(f format) bool { return f.name == name })
	if i < 0 && !slices.Contains(allFormats, name) {
		return fmt.Sprintf("%.40q is not one of %s", name, strings.Join(allFormats, ", "))
	}
	if i < 0 {
		return fmt.Sprintf("%s does not take %s; it takes %s", kind, name, strings.Join(Formats(kind), " and "))
	}
	of, ok := s.(formatted)
	if !ok {
		return ""
	}
	own, attribute := of.OwnFormat()
	if *own != "" && *own != known[i].own {
		return fmt.Sprintf("is %s, which is %q in %s, but %s is %.40q: leave one of the two out", name, known[i].own,
			attribute, attribute, *own)
	}
	*own = known[i].own
	return ""
}

// FormatOf returns the format that settings of a kind of place say.
func FormatOf(kind string, s deliver.Settings) string {
	known := formatsOf(kind)
	if of, ok := s.(formatted); ok {
		own, _ := of.OwnFormat()
		for _, f := range known {
			if f.own == *own {
				return f.name
			}
		}
	}
	if len(known) == 0 {
		return ""
	}
	return known[0].name
}
