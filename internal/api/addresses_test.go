package api

import (
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// The address of a webhook is often all that one needs to send there: readers see its host only, and nothing of places
// that events are sent to.
func TestReadersDoNotSeeAddressesOfWebhooks(t *testing.T) {
	w := newWorld(t, Options{})
	const address = "https://hooks.example.org/services/T0/B0/needle?key=needle"
	w.own(post, notifiersPath, `{"name":"hook","type":"WEBHOOK","url":"`+address+`"}`, 201)
	w.own(post, notifiersPath, `{"name":"plain","type":"WEBHOOK","url":"https://plain.example.org"}`, 201)
	id := w.makeIntegration(`{"type":"WEBHOOK_LOG_EXPORT","logTypes":["STREAMS_AUDIT"],"webhookUrl":"` + address +
		`","webhookSecret":"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`)["id"].(string)
	for _, path := range []string{integrationsV2, integrationsV2 + "/" + id} {
		refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupReadOnly, get, path, ""))
	}
	for _, path := range []string{notifiersPath, notifiersPath + "/hook"} {
		for role, whole := range map[account.Role]bool{account.GroupOwner: true, account.GroupReadOnly: false} {
			text := w.as(role, get, path, "").Body.String()
			if strings.Contains(text, "/services/T0/B0/needle?key=needle") != whole ||
				!whole && strings.Contains(text, "needle") {
				t.Errorf("%s as %s: %s", path, role, text)
			}
			if !strings.Contains(text, "https://hooks.example.org/") {
				t.Errorf("%s as %s lacks the host: %s", path, role, text)
			}
		}
	}
	if text := w.as(account.GroupReadOnly, get, notifiersPath+"/plain", "").Body.String(); !strings.Contains(text,
		`"https://plain.example.org"`) {
		t.Errorf("an address with nothing to hide: %s", text)
	}
}

// An owner may get an address from somebody who sees it masked.
func TestMaskedAddressesStay(t *testing.T) {
	w := newWorld(t, Options{})
	const address = "https://hooks.example.org/services/T0"
	w.own(post, notifiersPath, `{"name":"hook","type":"WEBHOOK","url":"`+address+`"}`, 201)
	seen := want[map[string]any](t, 200, w.as(account.GroupReadOnly, get, notifiersPath+"/hook", ""))["url"].(string)
	for given, after := range map[string]string{seen: address, "https://other.example.org/…": ""} {
		if after == "" {
			w.own(patch, notifiersPath+"/hook", `{"url":"`+given+`"}`, 400)
			after = address
		} else {
			w.own(patch, notifiersPath+"/hook", `{"url":"`+given+`"}`, 200)
		}
		if got := w.own(get, notifiersPath+"/hook", "", 200)["url"]; got != after {
			t.Errorf("%s: the address is %v", given, got)
		}
	}
}
