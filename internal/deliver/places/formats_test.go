package places

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

// Each kind of place takes the formats that the documentation says, and refuses all others with those that it takes.
func TestFormatsAreThoseOfTheTable(t *testing.T) {
	text, err := os.ReadFile("../../../docs/send-out.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Types() {
		known := Formats(kind)
		if documented := formatsIn(string(text), kind); !slices.Equal(documented, known) {
			t.Errorf("docs/send-out.md says that %s has %v, it has %v", kind, documented, known)
		}
		for _, name := range append(slices.Clone(allFormats), "XML", "") {
			s := settingsOf(t, kind, kept[kind].settings)
			before := fmt.Sprintf("%+v", s)
			refused := SetFormat(kind, s, name)
			switch {
			case slices.Contains(known, name):
				if refused != "" || FormatOf(kind, s) != name {
					t.Errorf("%s with %s: %q, and then it is %s", kind, name, refused, FormatOf(kind, s))
				}
				tryOpen(t, kind, s)
			case refused == "" || fmt.Sprintf("%+v", s) != before:
				t.Errorf("%s takes %s", kind, name)
			case slices.Contains(allFormats, name) && !strings.Contains(refused, strings.Join(known, " and ")):
				t.Errorf("%s with %s: the reason does not say what it takes: %s", kind, name, refused)
			}
		}
	}
}

// tryOpen checks that the settings of a format are valid, and are opened.
func tryOpen(t *testing.T, kind string, s deliver.Settings) {
	t.Helper()
	var wrong deliver.Wrong
	s.Check(&wrong)
	for _, a := range wrong.Attributes {
		if strings.HasSuffix(a.Name, "Format") {
			t.Errorf("%s: %s %s", kind, a.Name, a.Reason)
		}
	}
	if _, ok := s.(formatted); !ok || kind == "SYSLOG_LOG_EXPORT" { // whose settings for tests have no certificate
		return
	}
	if _, err := Open(kind, s, egress.New(nil)); err != nil {
		t.Errorf("%s: %v", kind, err)
	}
}

// formatsIn returns the formats that a row of the documentation's table has for a kind of place.
func formatsIn(text, kind string) (names []string) {
	_, table, _ := strings.Cut(text, "| type | formats, the usual one first |")
	_, row, _ := strings.Cut(table, "| `"+kind+"` | ")
	row, _, _ = strings.Cut(row, "\n")
	for i, part := range strings.Split(row, "`") {
		if i%2 == 1 && slices.Contains(allFormats, part) {
			names = append(names, part)
		}
	}
	return names
}

// An attribute of the place and the format may not say different things.
func TestFormatsDoNotContradictThePlace(t *testing.T) {
	for kind, own := range map[string]string{"S3_LOG_EXPORT": `{"s3Format":"PARQUET"}`,
		"SYSLOG_LOG_EXPORT": `{"syslogFormat":"CEF"}`} {
		s := settingsOf(t, kind, own)
		if refused := SetFormat(kind, s, Recorded); !strings.Contains(refused, "which is \"") {
			t.Errorf("%s: %q", kind, refused)
		}
		if name := FormatOf(kind, s); name == Recorded || SetFormat(kind, s, name) != "" {
			t.Errorf("%s: %s is not taken", kind, name)
		}
		if name := FormatOf(kind, settingsOf(t, kind, "{}")); name != Recorded {
			t.Errorf("%s: %s is usual", kind, name)
		}
	}
}
