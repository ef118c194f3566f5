//go:build browser

package node

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Whatever an address says, the page is shown, and the browser reports nothing.
func TestBrowserTakesAnyAddress(t *testing.T) {
	b := openTab(t)
	b.arrive()
	project := b.value(`new URLSearchParams(location.search).get('project')`)
	shown := func(address string) {
		t.Helper()
		b.open(address)
		b.until(`document.querySelector('header.top, .failed')`)
		b.until(`!document.querySelector('[aria-busy=true]')`)
		if b.value(`Boolean(document.querySelector('header.top'))`) != "true" {
			t.Errorf("%s is not shown: %s", address, b.value(`document.body.innerText`))
		}
	}
	parameters := []string{"view", "section", "project", "log", "q", "from", "to", "zone", "order", "live",
		"columns", "event"}
	for _, wrong := range []string{`"\q"`, `"`, `,",`, "__proto__", "constructor", "a\u0000\u202e,b", "<b>", "../..",
		strings.Repeat("9", 30), "\ud7ff\U0001f600"} {
		all := url.Values{}
		for _, name := range parameters {
			all.Set(name, wrong)
		}
		shown("/?" + all.Encode())
		shown("/?" + url.Values{"project": {project}, "columns": {"time," + wrong + "," + wrong}}.Encode())
		b.until(`document.querySelector('.row')`)
		shown("/?" + url.Values{"project": {project}, "event": {wrong}, "log": {wrong}}.Encode())
		shown("/?" + url.Values{"project": {project}, "view": {"manage"}, "section": {wrong}}.Encode())
	}
	for _, name := range parameters {
		shown("/?" + name + "=%ED%A0%80%00%FF%22")
	}
}

// A column is a field, also one whose name has a comma. What is no field is not taken for a column.
func TestBrowserKeepsColumnsWithCommas(t *testing.T) {
	b := openTab(t)
	b.record(fmt.Sprintf(`{"time":%d,"metadata":{"uid":"commas"},"unmapped":{"a,b":"with a comma"}}`+"\n",
		time.Now().UnixMilli()))
	b.arrive()
	b.find("metadata.uid:commas")
	b.until(`document.querySelectorAll('.row').length === 1`)
	add := func(name string) {
		b.t.Helper()
		b.set(`.head form input`, name)
		b.click(`.head form button`)
	}
	b.click(`.row-head .add button`)
	b.until(`document.querySelector('.head form')`)
	add(`unmapped."a,b`)
	b.until(`document.querySelector('.head form input').validationMessage.includes('name of a field')`)
	add(`unmapped."a,b"`)
	for range 2 {
		b.until(`document.querySelectorAll('.row-head [role=columnheader]:not(.add)').length === 7`)
		b.until(`document.querySelector('.row .cell:last-child').textContent === 'with a comma'`)
		b.open(b.value(`location.pathname + location.search`))
		b.settled()
	}
}

// A view that fails says so, and offers a way out.
func TestBrowserStartsAfresh(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.open("/?q=what%3Astart*")
	b.settled()
	b.do(chromedp.Evaluate[chromedp.Void](`(() => { const real = window.fetch; window.fetch = (...a) =>
		String(a[0]).includes('events:summary') ? Promise.resolve(new Response('{"facets":{}}')) : real(...a);
		})(); undefined`))
	b.press("r")
	b.until(`document.querySelector('.failed')`)
	b.shot("broken")
	b.click(`.failed a`)
	b.settled()
	if got := b.value(`new URLSearchParams(location.search).get('q')`); got != "null" {
		t.Errorf("afresh has the query %s", got)
	}
}
