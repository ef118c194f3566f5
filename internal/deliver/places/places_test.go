package places

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/deliver"
)

// kept is, for each kind of place, settings with secrets, and the attributes that may change while the secrets are
// masked: they say nothing of where these are sent.
var kept = map[string]struct {
	settings string
	free     []string
}{
	"OTEL_LOG_EXPORT": {`{"otelEndpoint":"https://a.example","otelSuppliedHeaders":[{"name":"X-A","value":"s"}]}`, nil},
	"SPLUNK_LOG_EXPORT": {`{"hecUrl":"https://a.example","hecToken":"s"}`,
		[]string{"hecIndex", "hecSourceType", "hecAcknowledge"}},
	"ELASTIC_LOG_EXPORT": {`{"elasticUrl":"https://a.example","username":"u","password":"s","apiKey":"s"}`,
		[]string{"index"}},
	"DATADOG_LOG_EXPORT": {`{"region":"US1","apiKey":"s"}`, []string{"service", "tags"}},
	"KAFKA_LOG_EXPORT": {`{"bootstrapServers":"a.example:9093","topic":"t","mechanism":"PLAIN","username":"u",` +
		`"password":"s"}`, []string{"topic", "maxMessageBytes"}},

	// Their secrets sign, and are sent to nobody.
	"WEBHOOK_LOG_EXPORT": {`{"webhookUrl":"https://a.example","webhookSecret":"s"}`,
		[]string{"webhookUrl", "caCertificate"}},
	"S3_LOG_EXPORT": {`{"bucketName":"b","accessKeyId":"k","secretAccessKey":"s"}`, []string{"bucketName", "prefixPath",
		"kmsKey", "iamRoleId", "useLegacyPathStructure", "accessKeyId", "s3Endpoint", "s3Region", "caCertificate", "s3Format",
		"s3Source", "s3AccountId"}},
	"SYSLOG_LOG_EXPORT": {`{"syslogAddress":"a.example:6514","clientCertificate":"c","clientKey":"s"}`,
		[]string{"syslogAddress", "syslogFormat", "caCertificate", "clientCertificate", "syslogHostname", "syslogMaxBytes",
			"syslogEnterprise", "syslogAnyEnd"}},
}

// A caller that may change a delivery, but does not know its secrets, cannot have them sent elsewhere: masks that come
// back with another address, other authorities or another user do not stand for the secrets.
func TestMaskedSecretsGoToTheirReceiverOnly(t *testing.T) {
	for _, kind := range Types() {
		of, ok := kept[kind]
		if !ok {
			t.Errorf("%s is not in the table", kind)
			continue
		}
		old := settingsOf(t, kind, of.settings)
		for i, name := range attributes(old) {
			now := settingsOf(t, kind, of.settings)
			if !change(now, i) {
				continue
			}
			for _, secret := range now.Secrets() {
				if *secret != "" {
					*secret = Mask
				}
			}
			missing := Unmask(now, old)
			if free := slices.Contains(of.free, name); free != (len(missing) == 0) {
				t.Errorf("%s with another %s: must be given again: %v", kind, name, missing)
			}
			for of, secret := range now.Secrets() {
				if slices.Contains(missing, of) != (*secret == Mask) {
					t.Errorf("%s with another %s: %s is %q, missing are %v", kind, name, of, *secret, missing)
				}
			}
		}
	}
}

func settingsOf(t *testing.T, kind, text string) deliver.Settings {
	t.Helper()
	s := Empty(kind)
	if err := json.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// attributes returns the names of all attributes of settings.
func attributes(s deliver.Settings) (names []string) {
	of := reflect.TypeOf(s).Elem()
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// change gives an attribute another value. It returns false for a secret, and for headers, whose values are secrets
// that belong to their names.
func change(s deliver.Settings, i int) bool {
	v := reflect.ValueOf(s).Elem().Field(i)
	for _, secret := range s.Secrets() {
		if v.Kind() == reflect.String && v.Addr().Interface() == any(secret) {
			return false
		}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int:
		v.SetInt(v.Int() + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		return false
	}
	return true
}

// together are attributes of which is said what is wrong with another one, too.
var together = map[string]string{"clientKey": "clientCertificate", "password": "apiKey"}

// Each text of each kind of place has a bound, and an error about a longer one names the bound.
func TestLongAttributesAreRefused(t *testing.T) {
	for _, kind := range Types() {
		for i, name := range attributes(settingsOf(t, kind, kept[kind].settings)) {
			long := settingsOf(t, kind, kept[kind].settings)
			v := reflect.ValueOf(long).Elem().Field(i)
			if v.Kind() != reflect.String {
				continue
			}
			v.SetString(v.String() + strings.Repeat("x", 128<<10))
			var w deliver.Wrong
			long.Check(&w)
			named := slices.ContainsFunc(w.Attributes, func(a deliver.Attribute) bool {
				return a.Name == name || a.Name == together[name]
			})
			for _, a := range w.Attributes {
				if len(a.Reason) > 1024 {
					t.Errorf("%s: %s: a reason of %d bytes", kind, name, len(a.Reason))
				}
			}
			if !named {
				t.Errorf("%s: a long %s is taken", kind, name)
			}
		}
	}
}
