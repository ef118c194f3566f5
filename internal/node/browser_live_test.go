//go:build browser

package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What is about a range shows what was recorded, also where Live is left for it.
func TestBrowserLeavesLiveForARange(t *testing.T) {
	b := openTab(t)
	b.arrive()
	for name, leave := range map[string]func(){
		"± 1 minute": func() { b.neighbour("± 1 minute") },
		"same actor": func() { b.neighbour("Same actor") },
		"a range":    func() { b.set(`.range select`, "now-1h") },
	} {
		b.open("/?q=who%3Arange.*&live=on")
		for end := time.Now().Add(patience); b.value(`document.querySelectorAll('.row').length`) == "0"; {
			if time.Now().After(end) {
				b.fail("no event is shown")
			}
			b.record(fmt.Sprintf(`{"time":%d,"actor":{"user":{"name":"range.one"}}}`+"\n", time.Now().UnixMilli()))
			time.Sleep(50 * time.Millisecond)
		}
		b.press("j", kb.Enter)
		b.until(`document.querySelector('.detail .tree')`)
		leave()
		b.until(`!new URLSearchParams(location.search).has('live')`)
		b.settled()
		if got := b.value(`document.querySelectorAll('.row').length > 0`); got != "true" {
			t.Errorf("%s shows no event", name)
		}
	}
}

// neighbour clicks a button that leads from the open event to others.
func (b *tab) neighbour(name string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`[...document.querySelectorAll('.neighbours button')].find((e) =>
		e.textContent === %q).click(); undefined`, name)))
}
