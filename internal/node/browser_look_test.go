//go:build browser

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
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
	b.fill("name", "the.atlas", "atlas.baseUrl", "http://127.0.0.1:1", "atlas.clientId", "mdb_sa_id_1",
		"atlas.clientSecret", "x")
	b.until(itemNames + ` === 'the.atlas' && document.querySelector('.item .state')`)
	b.click(`.item .together button:first-child`)
	b.until(`document.querySelector('.item .state.PAUSED')`)
	b.manage("deliveries")
	b.fill("webhookUrl", "http://127.0.0.1:1/hook",
		"webhookSecret", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	b.until(`document.querySelector('.item .state')`)
	b.manage("alerts")
	b.fill("name", "watched", "query", "who:watched.user", "count", "1")
	b.until(itemNames + ` === 'watched'`)
	b.fill("name", "unheard", "query", "who:nobody")
	b.until(itemNames + `.includes('unheard')`)
	b.record(fmt.Sprintf(`{"time":%d,"actor":{"user":{"name":"watched.user"}}}`+"\n", time.Now().UnixMilli()))
	const word = `[...document.querySelectorAll('.watched section')].map((s) =>
		s.querySelector('li .state')?.className).join()`
	// until the rule fires, and the delivery fails
	for end := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) {
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

// Of a field with very many values the most frequent are named, and the others counted.
func TestBrowserNamesTheMostFrequentOfManyValues(t *testing.T) {
	b := openTab(t)
	var lines strings.Builder
	now := time.Now().UnixMilli()
	long := strings.Repeat("a.very.long.name.", 20)
	for i := range 10_000 {
		fmt.Fprintf(&lines, `{"time":%d,"actor":{"user":{"name":"%s%d"}},"api":{"operation":"many"}}`+"\n",
			now-int64(i), long, i)
	}
	b.record(lines.String())
	b.arrive()
	b.find("what:many")
	const actors = `document.querySelector('.facets section:nth-child(2)')`
	b.until(actors + `.querySelectorAll('li').length === 10`)
	if got := b.value(actors + `.textContent`); !strings.Contains(got, "9,990") {
		t.Errorf("the other values are not counted: %s", got)
	}
	if got := b.value(`[document.documentElement.scrollWidth, document.querySelector('.facets').scrollWidth -
		document.querySelector('.facets').clientWidth]`); got != "1440,0" {
		t.Errorf("the page is too wide by long values: %s", got)
	}
	b.shot("many-values")
	b.open("/?view=overview")
	b.overviewed()
	got := b.value(`document.querySelector('.news section').textContent`)
	if !strings.Contains(got, "more different values") {
		t.Errorf("of too many values the overview says: %s", got)
	}
	b.shot("many-values-overview")
}

// What is printed has the events that were listed, whatever of them was on the screen, on white paper.
func TestBrowserPrints(t *testing.T) {
	b := openTab(t)
	var lines strings.Builder
	now := time.Now().UnixMilli()
	for i := range 90 {
		fmt.Fprintf(&lines, `{"time":%d,"actor":{"user":{"name":"printed"}},"metadata":{"uid":"p%d"}}`+"\n",
			now-int64(i), i)
	}
	b.record(lines.String())
	b.arrive()
	b.dark(true)
	b.find("who:printed")
	drawn := b.value(`document.querySelectorAll('.row').length`)
	b.do(chromedp.Evaluate[chromedp.Void](`addEventListener('beforeprint', () => queueMicrotask(() => {
		window.printed = document.querySelectorAll('.row').length; })); undefined`))
	data := call(b, page.PrintToPDF, page.PrintToPDFParams{}).Data
	if name := os.Getenv("WEIR_SCREENSHOTS"); name != "" {
		if err := os.WriteFile(filepath.Join(name, "printed.pdf"), data, 0o644); err != nil {
			t.Error(err)
		}
	}
	if got := b.value(`window.printed`); got != "90" || drawn == "90" {
		t.Errorf("%s events are on the screen, and printed are: %s", drawn, got)
	}
	b.until(`document.querySelectorAll('.row').length === ` + drawn)
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print",
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	got := b.value(`[getComputedStyle(document.documentElement).getPropertyValue('--ink'),
		getComputedStyle(document.querySelector('.range')).display,
		getComputedStyle(document.querySelector('.printed')).display]`)
	if got != "#17212b,none,block" {
		t.Errorf("paper has: %s", got)
	}
}
