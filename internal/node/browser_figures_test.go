//go:build browser

package node

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// figureEvents is how many events TestFigures looks among.
var figureEvents = flag.Int("page.events", 10_000, "events among which TestFigures looks")

// fillFor records events of the last 30 days, and waits until they are in their log.
func (b *tab) fillFor(n int) {
	b.t.Helper()
	all := corpus.Corpus{Events: n, Days: 30, Until: time.Now(), Seed: 1}
	var lines []byte
	recorded := 0
	for more := true; more; {
		if lines, more = all.Next(lines); more {
			recorded++
		}
		if len(lines) > 4<<20 || !more && len(lines) > 0 {
			b.record(string(lines))
			lines = lines[:0]
		}
	}
	log := "/api/weir/v1/groups/" + b.node.creds.project + "/logs/" + b.node.auditLog(b.t) + "/checkpoint"
	for size := 0; size < recorded; time.Sleep(100 * time.Millisecond) {
		text, err := b.node.client(b.t).Fetch(b.t.Context(), log, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := fmt.Sscan(strings.SplitN(string(text), "\n", 3)[1], &size); err != nil {
			b.t.Fatal(err)
		}
	}
}

// clicks has each of some filters clicked in turn, and says how many milliseconds there are from each click until the
// list is another one and has been drawn.
const clicks = `(async () => {
	const frame = () => new Promise(requestAnimationFrame), took = [];
	for (let i = 0; i < 22; i++) { // Each second click takes the one before it back.
		while (!document.querySelector('.facets section:nth-child(2) li .value')) await frame();
		const all = document.querySelectorAll('.facets section:nth-child(2) li .value'), begun = performance.now();
		all[0].click();
		await frame();
		while (document.querySelector('.results').ariaBusy === 'true' || !document.querySelector('.row')) await frame();
		await frame();
		if (i) took.push(performance.now() - begun); // The first finds nothing in any cache.
	}
	took.sort((a, b) => a - b);
	window.figures = JSON.stringify({ median: took[10], most: took.at(-1) });
})(); undefined`

// scrolling scrolls for five seconds, and says how many frames there were in a second and how long the longest took.
const scrolling = `(async () => {
	const frame = () => new Promise(requestAnimationFrame), rows = document.querySelector('.rows'), gaps = [];
	rows.scrollTop = 0;
	const begun = await frame();
	for (let last = begun; last - begun < 5000;) {
		rows.scrollTop += 60;
		const now = await frame();
		gaps.push(now - last);
		last = now;
	}
	gaps.sort((a, b) => a - b);
	window.figures = JSON.stringify({ frames: gaps.length / 5, median: gaps[gaps.length >> 1], most: gaps.at(-1),
		rows: Math.round(rows.scrollTop / 30) });
})(); undefined`

// TestFigures says how long a person waits who searches many events. It asks for no more than that there are figures:
// what they are depends on the machine, and on what else it does. docs/page.md says how to run it.
func TestFigures(t *testing.T) {
	b := openTab(t)
	b.fillFor(*figureEvents)
	b.arrive()
	b.open("/?from=now-30d&q=-unmapped.atype:auditLogAccessed")
	b.settled()
	for _, m := range []struct{ name, script string }{{"ms from the click to the list", clicks},
		{"scrolling", scrolling}} {
		b.do(chromedp.Evaluate[chromedp.Void](`window.figures = null; undefined`),
			chromedp.Evaluate[chromedp.Void](m.script))
		end := time.Now().Add(5 * time.Minute)
		for b.value(`Boolean(window.figures)`) != "true" {
			time.Sleep(time.Second)
			if time.Now().After(end) {
				b.fail("there is no figure of " + m.name)
			}
		}
		var figures map[string]float64
		if err := json.Unmarshal([]byte(b.value(`window.figures`)), &figures); err != nil || figures["median"] <= 0 {
			t.Fatalf("%s: %v, %v", m.name, figures, err)
		}
		t.Logf("%d events, %s: %v", *figureEvents, m.name, figures)
	}
}
