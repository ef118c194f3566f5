//go:build browser

package node

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestBrowserByKeyboardOnly(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.find("what:start*")
	b.press("j", "j", kb.Enter)
	b.until(`document.querySelector('.row.selected[aria-rowindex="3"]') && document.querySelector('.detail .tree')`)
	b.press("k")
	b.until(`document.querySelector('.row.selected[aria-rowindex="2"]')`)
	b.press(kb.Escape)
	b.until(`!document.querySelector('.detail')`)
	b.press("?")
	b.until(`document.querySelector('dialog[open]')`)
	b.press(kb.Escape)
	b.until(`!document.querySelector('dialog')`)
	b.slash()
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`))
	for _, key := range "outc" {
		b.press(string(key))
	}
	b.until(`document.querySelector('.suggestions:not([hidden]) li')?.textContent.startsWith('outcome')`)
	b.press(kb.Tab)
	b.until(`document.querySelector('.box input').value === 'outcome:' && // The names of fields may still be shown.
		document.querySelector('.suggestions:not([hidden]) li')?.textContent.startsWith('success')`)
	b.press(kb.ArrowDown, kb.Enter)
	b.until(`document.querySelector('.box input').value.trim() === 'outcome:success'`)
	b.press(kb.Enter)
	b.until(`new URLSearchParams(location.search).get('q') === 'outcome:success'`)
}

// Suggestions that come late neither move what the keys have chosen nor open a list that was closed.
func TestBrowserKeepsWhatIsChosen(t *testing.T) {
	b := openTab(t)
	b.arrive()
	typed := func() {
		b.do(chromedp.Evaluate[chromedp.Void](`(() => {
			const real = window.fetch; window.late = [];
			window.fetch = (...of) => String(of[0]?.url ?? of[0]).includes('events:fields') ?
				new Promise((go) => late.push(() => go(real(...of)))) : real(...of); })(); undefined`))
		b.slash()
		b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`))
		for _, key := range "outcome:" {
			b.press(string(key))
		}
		b.until(`document.querySelector('.suggestions:not([hidden]) li')?.textContent.startsWith('success')`)
		if got := b.value(`late.length`); got != "1" {
			t.Errorf("the fields were asked for %s times", got)
		}
	}
	come := func() {
		b.do(chromedp.Evaluate[chromedp.Void](`performance.clearResourceTimings(); late.forEach((go) => go()); undefined`))
		b.until(`performance.getEntriesByType('resource').some((r) => r.name.includes('events:fields') && r.responseEnd)`)
		time.Sleep(100 * time.Millisecond) // in which the page would show the list anew
	}
	typed()
	b.press(kb.Escape)
	come()
	if got := b.value(`document.querySelector('.suggestions').hidden`); got != "true" {
		t.Error("a list that was closed has opened by itself")
	}
	b.open("/?q=what:start*") // The fields of another question are asked for again.
	b.settled()
	typed()
	b.press(kb.ArrowDown)
	b.until(`document.querySelector('.suggestions .chosen')`)
	come()
	b.press(kb.Enter)
	b.until(`document.querySelector('.box input').value === 'outcome:success '`)
}
