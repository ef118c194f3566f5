//go:build browser

package node

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The overview says what is collected and delivered, and which alerts last, and leads to them.
func TestBrowserSeesWhatWeirDoesByItself(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.open("/?view=overview")
	b.overviewed()
	const shown = `document.querySelector('.watched').innerText`
	for _, part := range []string{"Nothing is collected.", "Nothing is delivered.", "There is no rule."} {
		if got := b.value(shown); !strings.Contains(got, part) {
			t.Errorf("the overview does not say %q: %s", part, got)
		}
	}
	b.manage("sources")
	b.fill("name", "the.atlas", "atlas.baseUrl", "http://127.0.0.1:1", "atlas.clientId", "mdb_sa_id_1", "atlas.clientSecret", "x")
	b.until(itemNames + ` === 'the.atlas' && document.querySelector('.item .state')`)
	b.click(`.item .together button:first-child`)
	b.until(`document.querySelector('.item .state.PAUSED')`)
	b.manage("deliveries")
	b.fill("webhookUrl", "http://127.0.0.1:1/hook", "webhookSecret", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	b.until(`document.querySelector('.item .state')`)
	b.manage("alerts")
	b.fill("name", "watched", "query", "who:watched.user", "count", "1")
	b.until(itemNames + ` === 'watched'`)
	b.fill("name", "unheard", "query", "who:nobody")
	b.until(itemNames + `.includes('unheard')`)
	b.record(fmt.Sprintf(`{"time":%d,"actor":{"user":{"name":"watched.user"}}}`+"\n", time.Now().UnixMilli()))
	const word = `[...document.querySelectorAll('.watched section')].map((s) => s.querySelector('li .state')?.className).join()`
	for end := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) { // until the rule fires, and the delivery fails
		b.open("/?view=overview")
		b.overviewed()
		if b.value(word) == "state PAUSED,state FAILING,state FIRING" {
			break
		}
		if time.Now().After(end) {
			b.fail("the overview says " + b.value(word))
		}
	}
	b.shot("overview-watched")
	got := b.value(shown)
	for _, part := range []string{"the.atlas", "http://127.0.0.1:1/hook", "watched", "Since"} {
		if !strings.Contains(got, part) {
			t.Errorf("the overview does not show %q: %s", part, got)
		}
	}
	if strings.Contains(got, "unheard") {
		t.Errorf("the overview shows a rule of which no alert lasts: %s", got)
	}
	b.click(`.watched section:last-child h3 button`)
	b.listed()
	b.until(itemNames + `.includes('unheard')`)
}
