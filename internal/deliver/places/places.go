// Package places is the table of the kinds of places that deliveries go to. It keeps the secrets of their settings:
// sealed where they are stored, masked where they are shown.
package places

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/datadog"
	"github.com/weirlog/weir/internal/deliver/elastic"
	"github.com/weirlog/weir/internal/deliver/kafka"
	"github.com/weirlog/weir/internal/deliver/otlp"
	"github.com/weirlog/weir/internal/deliver/s3"
	"github.com/weirlog/weir/internal/deliver/splunk"
	"github.com/weirlog/weir/internal/deliver/syslog"
	"github.com/weirlog/weir/internal/deliver/webhook"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/seal"
)

// kind is a kind of place.
type kind struct {
	name     string
	settings func() deliver.Settings // an empty one
	open     func(deliver.Settings, *egress.Policy) (deliver.Sink, error)
	formats  []format // that it knows, the usual one first
}

// kinds is the table.
var kinds = []kind{
	row("OTEL_LOG_EXPORT", otlp.New, otlpOnly),
	row("SPLUNK_LOG_EXPORT", splunk.New, recordedOnly),
	row("WEBHOOK_LOG_EXPORT", webhook.New, recordedOnly),
	row("ELASTIC_LOG_EXPORT", elastic.New, recordedOnly),
	row("DATADOG_LOG_EXPORT", datadog.New, recordedOnly),
	row("S3_LOG_EXPORT", s3.New, []format{{Recorded, s3.NDJSON}, {Parquet, s3.Parquet}}),
	row("SYSLOG_LOG_EXPORT", syslog.New, []format{{Recorded, syslog.JSON}, {CEF, syslog.CEF}}),
	row("KAFKA_LOG_EXPORT", kafka.New, recordedOnly),
}

// row returns a kind of place that a package knows.
func row[S any, P interface {
	*S
	deliver.Settings
}, K deliver.Sink](name string, open func(S, *egress.Policy) (K, error), formats []format) kind {
	return kind{name, func() deliver.Settings { return P(new(S)) },
		func(s deliver.Settings, p *egress.Policy) (deliver.Sink, error) { return open(*s.(P), p) }, formats}
}

// absent says why weir does not send to the kinds of places that Atlas has besides.
var absent = map[string]string{
	"GCS_LOG_EXPORT": "weir cannot write to Google Cloud Storage, which needs a role of Atlas there: use S3_LOG_EXPORT " +
		"and its interoperability with S3",
	"AZURE_LOG_EXPORT": "weir cannot write to Azure Blob Storage, which needs a role of Atlas there",
}

// Absent returns why weir does not send to a kind of place that Atlas has; empty if it does, or nobody has it.
func Absent(name string) string { return absent[name] }

// Types returns the names of all kinds.
func Types() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Empty returns empty settings of a kind of place; nil if there is no such kind.
func Empty(name string) deliver.Settings {
	for _, k := range kinds {
		if k.name == name {
			return k.settings()
		}
	}
	return nil
}

// Open returns a sink that sends to the place that settings describe.
func Open(name string, s deliver.Settings, p *egress.Policy) (deliver.Sink, error) {
	for _, k := range kinds {
		if k.name == name {
			return k.open(s, p)
		}
	}
	return nil, unknown(name)
}

func unknown(name string) error {
	return fmt.Errorf("this version of weir does not know the type %.40q", name)
}

// maxSettings bounds the settings of a delivery as they are stored, in bytes.
const maxSettings = 128 << 10

// TooLarge is returned by Hide for settings that are each within their bounds, but too large together.
type TooLarge struct{ Bytes, Most int }

func (e *TooLarge) Error() string {
	return fmt.Sprintf("the settings have %d bytes as they are stored, at most %d are allowed", e.Bytes, e.Most)
}

// Hide returns settings as they are stored at the place of a delivery. If they are too large, it returns a *TooLarge.
func Hide(box seal.Box, d *deliver.Delivery, s deliver.Settings) (json.RawMessage, error) {
	hidden, err := copied(d.Type, s)
	if err != nil {
		return nil, err
	}
	for name, secret := range hidden.Secrets() {
		if *secret == "" {
			continue
		}
		if *secret, err = box.Hide(at(d, name), *secret); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(hidden)
	if err == nil && len(data) > maxSettings {
		err = &TooLarge{len(data), maxSettings}
	}
	return data, err
}

// Show returns the settings of a delivery as they were before Hide.
func Show(box seal.Box, d *deliver.Delivery) (deliver.Settings, error) {
	s, err := stored(d)
	if err != nil {
		return nil, err
	}
	for name, secret := range s.Secrets() {
		if *secret == "" {
			continue
		}
		if *secret, err = box.Show(at(d, name), *secret); err != nil {
			return nil, fmt.Errorf("%s of delivery %s: %w", name, d.ID, err)
		}
	}
	return s, nil
}

// Mask stands for a secret where settings are shown. Sent back, it means the secret that is stored.
const Mask = "********************"

// Masked returns the settings of a delivery as they are shown.
func Masked(d *deliver.Delivery) (deliver.Settings, error) {
	s, err := stored(d)
	if err != nil {
		return nil, err
	}
	for _, secret := range s.Secrets() {
		if *secret != "" {
			*secret = Mask
		}
	}
	return s, nil
}

// Unmask puts the secrets of old settings in the place of their masks. Old may be nil. It returns the names of the
// secrets that are masked although old has none, or has them for another receiver. Without this check, a caller that
// may change settings could have a secret sent to a place of its own.
func Unmask(s, old deliver.Settings) (missing []string) {
	have := map[string]*string{}
	if old != nil && slices.Equal(s.Receiver(), old.Receiver()) {
		have = old.Secrets()
	}
	for name, secret := range s.Secrets() {
		if *secret != Mask {
			continue
		}
		if was := have[name]; was != nil && *was != "" {
			*secret = *was
		} else {
			missing = append(missing, name)
		}
	}
	return missing
}

// at names the place of a secret.
func at(d *deliver.Delivery, name string) string {
	return layout.Deliveries.Prefix(d.Project) + d.ID + "/" + name
}

func stored(d *deliver.Delivery) (deliver.Settings, error) {
	s := Empty(d.Type)
	if s == nil {
		return nil, unknown(d.Type)
	}
	if err := json.Unmarshal(d.Settings, s); err != nil {
		return nil, fmt.Errorf("settings of delivery %s: %w", d.ID, err)
	}
	return s, nil
}

func copied(name string, s deliver.Settings) (deliver.Settings, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return stored(&deliver.Delivery{Type: name, Settings: data})
}
