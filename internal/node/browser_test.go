//go:build browser

package node

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/weirlog/weir/internal/proof"
)

// TestEachViewIsDrawn goes to each view. If WEIR_SCREENSHOTS names a folder, it draws them there.
func TestEachViewIsDrawn(t *testing.T) {
	b := openTab(t)
	for _, dark := range []bool{false, true} {
		look := map[bool]string{false: "light", true: "dark"}[dark]
		b.dark(dark)
		b.size(1440, 900)
		if !dark {
			b.open("")
			b.until(`document.querySelector('form')`)
			b.shot("signin")
			b.arrive()
		}
		b.open("/")
		b.settled()
		time.Sleep(300 * time.Millisecond)
		b.shot("explore-" + look)
		b.press("j", "j", kb.Enter)
		b.until(`document.querySelector('.detail .tree')`)
		time.Sleep(2500 * time.Millisecond)
		b.shot("detail-" + look)
		b.press("?")
		b.until(`document.querySelector('dialog[open]')`)
		b.shot("help-" + look)
		b.press(kb.Escape)
		b.click(`.top button:not(.icon)`)
		time.Sleep(400 * time.Millisecond)
		b.shot("logs-" + look)
		b.press(kb.Escape)
		b.click(`.bar button:last-child`)
		time.Sleep(200 * time.Millisecond)
		b.shot("hand-" + look)
		b.press(kb.Escape, kb.Escape)
		b.open("/?view=overview")
		b.overviewed()
		b.shot("overview-" + look)
		for _, kind := range []string{"workspaces", "serviceAccounts", "apiKeys", "deliveries", "alerts", "settings"} {
			b.manage(kind)
			b.shot("manage-" + kind + "-" + look)
		}
		b.manage("deliveries")
		b.click(`.kind > .bar button`)
		b.until(`document.querySelector('dialog[open] form')`)
		b.shot("manage-form-" + look)
		b.open("/?q=who:a+and+and")
		b.until(`document.querySelector('.query-problem')`)
		b.shot("wrong-" + look)
		b.open("/?q=actor.user.nme:x")
		b.until(`document.querySelector('.nothing')`)
		time.Sleep(300 * time.Millisecond)
		b.shot("nothing-" + look)
		b.size(375, 720)
		b.open("/")
		b.settled()
		time.Sleep(300 * time.Millisecond)
		b.shot("small-" + look)
		b.press("j", kb.Enter)
		b.until(`document.querySelector('.detail .tree')`)
		b.shot("small-detail-" + look)
		b.open("/?view=overview")
		b.overviewed()
		b.shot("small-overview-" + look)
		b.manage("serviceAccounts")
		b.shot("small-manage-" + look)
		b.click(`.kind > .bar button`)
		b.until(`document.querySelector('dialog[open] form')`)
		b.shot("small-form-" + look)
	}
	b.size(3840, 2160)
	b.open("/")
	b.settled()
	b.press("j", kb.Enter)
	b.until(`document.querySelector('.detail .tree')`)
	b.shot("large")
	b.open("/?view=overview")
	b.overviewed()
	b.shot("large-overview")
	b.manage("deliveries")
	b.shot("large-manage")
}

// A newcomer's way: from the printed link to a file.
func TestBrowserFromLinkToFile(t *testing.T) {
	b := openTab(t)
	b.arrive()
	if got := b.value(`location.hash + location.search`); strings.Contains(got, "code") {
		t.Errorf("the code is still in the address: %s", got)
	}
	b.find("who:admin.*")
	b.until(`document.querySelectorAll('.facets .value').length > 3`)
	b.click(`.facets section:nth-child(1) li:nth-child(2) .value`) // failures
	b.until(`new URLSearchParams(location.search).get('q') === 'who:admin.* outcome:"failure"'`)
	b.settled()
	listed := b.value(`document.querySelectorAll('.row').length`)
	const failures = `[...document.querySelectorAll('.row .cell.outcome')].every((c) => c.textContent === 'failure')`
	if b.value(failures) != "true" {
		t.Error("the list has others than failures")
	}
	folder := t.TempDir()
	call(b, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder})
	b.click(`.bar button:last-child`)
	b.until(`document.querySelector('dialog[open] .exports a')`)
	data := b.file(`.exports a`, folder, "events_*.csv")
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if fmt.Sprint(len(lines)-1) != listed || !strings.HasPrefix(lines[0], "time,who,") {
		t.Errorf("%s events are listed, and the file is %q", listed, data)
	}
	if got := b.value(`document.querySelectorAll('dialog .files a').length`); got != "3" {
		t.Errorf("%s of three logs can be had as recorded", got)
	}
	names := unpack(t, b.file(`.files a`, folder, "*.gz.zip"), t.TempDir())
	if len(names) != 2 || names[1] != names[0]+".proof" {
		t.Errorf("a log comes as %q", names)
	}
}

func TestBrowserSignsInAndOut(t *testing.T) {
	b := openTab(t)
	b.open("/?q=outcome:failure")
	b.until(`document.querySelector('.signin input')`)
	fill := func(id, secret string) {
		b.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('.signin input').forEach((i) => { i.value = ''; })`),
			chromedp.SendKeys(chromedp.CSS("[name=client_id]"), id),
			chromedp.SendKeys(chromedp.CSS("[name=client_secret]"), secret+kb.Enter))
	}
	fill(b.node.creds.publicKey, "wrong")
	b.until(`document.querySelector('.problem')?.textContent.includes('wrong')`)
	fill(b.node.creds.publicKey, b.node.creds.privateKey)
	b.settled()
	if got := b.value(`document.querySelector('.box input').value + document.cookie`); got != "outcome:failure" {
		t.Errorf("the deep link became, with the cookies that scripts see, %q", got)
	}
	b.click(`.menu summary`)
	b.click(`.menu .sheet button`)
	b.until(`document.querySelector('.signin input')`)
	b.open("/")
	b.until(`document.querySelector('.signin input')`)
	fill(b.node.creds.clientID, b.node.creds.clientSecret)
	b.settled()
}

// hostile is an event of which no part may be more than text.
const hostile = `{"time":%d,"metadata":{"uid":"hostile"},"class_name":"<svg/onload=pwned()>","status_id":2,` +
	`"status_detail":"<iframe srcdoc='<script>parent.pwned()</script>'>",` +
	`"actor":{"user":{"name":"<img src=x onerror=pwned()>\u202etxt.exe\u0000\u001b[31m"}},` +
	`"api":{"operation":"javascript:pwned()"},` +
	`"src_endpoint":{"ip":"\"><script>pwned()</script>"},"entity":{"name":"{{constructor.constructor('pwned()')()}}"},` +
	`"<b onmouseover=pwned()>":{"__proto__":{"polluted":"x"},"constructor":"y"},` +
	`"number":123456789012345678901234567890}` + "\n"

func TestHostileEventsAreText(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.do(chromedp.Evaluate[chromedp.Void](`window.pwned = () => { window.wasPwned = true; }; undefined`))
	b.record(fmt.Sprintf(hostile, time.Now().UnixMilli()))
	b.find(`metadata.uid:hostile`)
	b.until(`document.querySelectorAll('.row').length === 1`)
	b.press("j", kb.Enter)
	b.until(`document.querySelector('.detail .tree')`)
	for _, want := range []string{`<img src=x onerror=pwned()>\u{202e}txt.exe\u{0}\u{1b}[31m`,
		`"><script>pwned()</script>`,
		`123456789012345678901234567890`, `<b onmouseover=pwned()>`, `__proto__`} {
		if !strings.Contains(b.value(`document.querySelector('.detail').textContent`), want) {
			t.Errorf("the event does not show %s", want)
		}
	}
	b.click(`.tabs button:nth-child(2)`)
	b.until(`document.querySelector('.raw')?.textContent.includes('"number": 123456789012345678901234567890')`)
	b.shot("hostile")
	if got := b.value(`[window.wasPwned, ({}).polluted,
		document.querySelectorAll('img[src=x], iframe, svg[onload]').length]`); got != ",,0" {
		t.Errorf("the event was more than text: %s", got)
	}
	b.click(`.facets section:nth-child(2) li .value`) // by the hostile actor
	b.until(`new URLSearchParams(location.search).get('q').includes('onerror')`)
	b.settled()
	b.until(`document.querySelectorAll('.row').length === 1`)
	b.click(overviewButton)
	b.overviewed()
	for _, part := range []string{".last", ".news"} {
		if got := b.value(`document.querySelector('` + part + `').textContent`); !strings.Contains(got, `<img src=x`) {
			t.Errorf("%s does not show the hostile actor: %s", part, got)
		}
	}
	if got := b.value(`[window.wasPwned, document.querySelectorAll('img[src=x], iframe').length]`); got != ",0" {
		t.Errorf("the event was more than text in the overview: %s", got)
	}
}

// tamper has the page get another proof than the node sent.
const tamper = `(() => { const real = window.real ??= window.fetch; window.fetch = async (...a) => {
	const res = await real(...a);
	if (!String(a[0]).includes('/proof?')) return res;
	const p = await res.json();
	(%s)(p);
	window.proofs = (window.proofs ?? 0) + 1;
	return new Response(JSON.stringify(p)); }; })()`

// sequenced waits until what was recorded first is in its log.
func (b *tab) sequenced() {
	b.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		b.open("/?q=what:dropStreamProcessor")
		b.settled()
		b.press("j", kb.Enter)
		b.until(`document.querySelector('.detail')`)
		if b.value(`Boolean(document.querySelector('.pin'))`) == "true" {
			return
		}
		if time.Now().After(end) {
			b.fail("nothing is sequenced")
		}
	}
}

// verify has the open event verified by a proof that tamper has had in its hands.
func (b *tab) verify() {
	b.t.Helper()
	before := b.value(`window.proofs ?? 0`)
	b.press("v")
	b.until(`String(window.proofs) > ` + before + ` && !document.querySelector('.proof-state.busy')`)
}

func TestBrowserVerifiesProofs(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.sequenced()
	b.do(chromedp.SendKeys(chromedp.CSS(".pin input"), "no key"+kb.Enter))
	b.until(`document.querySelector('.pin .problem')`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.pin input').value = ''`),
		chromedp.SendKeys(chromedp.CSS(".pin input"), b.node.creds.verifierKey+kb.Enter))
	b.until(`!document.querySelector('.pin')`)
	b.press("v")
	b.until(`document.querySelector('.proof-state.verified')`)
	b.shot("verified")
	for name, change := range map[string]string{
		"another entry":   `(p) => { p.index++; }`,
		"another event":   `(p) => { p.entry = p.hashes[0]; }`,
		"another hash":    `(p) => { p.hashes[0] = p.hashes[1]; }`,
		"a hash too few":  `(p) => { p.hashes.pop(); }`,
		"a hash too many": `(p) => { p.hashes.push(p.hashes[0]); }`,
		"another size": `(p) => { p.checkpoint = p.checkpoint.replace(/\n(\d+)\n/, (_, n) => ` +
			`'\n' + (+n + 1) + '\n'); }`,
		"another log":        `(p) => { p.checkpoint = p.checkpoint.replaceAll(/[0-9a-f]{24}/g, 'f'.repeat(24)); }`,
		"no signature":       `(p) => { p.checkpoint = p.checkpoint.split('\n\n')[0] + '\n\n'; }`,
		"no checkpoint":      `(p) => { p.checkpoint = ''; }`,
		"a tree of one leaf": `(p) => { p.hashes = []; }`,
	} {
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(tamper, change) + `; undefined`))
		b.verify()
		if got := b.value(`document.querySelector('.proof-state').className`); got != "proof-state wrong" {
			t.Errorf("%s: %s: %s", name, got, b.value(`document.querySelector('.proof-state').textContent`))
		}
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(tamper, `() => {}`) + `; undefined`))
		b.verify()
		b.until(`document.querySelector('.proof-state.verified')`)
	}
	other, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b.click(`.key-line button`)
	b.do(chromedp.SendKeys(chromedp.CSS(".pin input"), proof.NewKeys(other).Signers[0].PublicText()+kb.Enter))
	b.until(`!document.querySelector('.pin')`)
	b.press("v")
	b.until(`document.querySelector('.proof-state.wrong')`)
	b.shot("wrong-proof")
	b.click(`.top button:not(.icon)`)
	b.until(`document.querySelectorAll('.logs .verdict.wrong').length === 3`)
}

// Events come to the list as they are recorded; a list that is paused stays as it is, and says how many wait.
func TestBrowserShowsEventsLive(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.open("/?q=who%3Alive.*&live=on")
	b.until(`document.querySelector('.bar h1')?.textContent === 'Waiting for events'`)
	line := func(i int) string {
		return fmt.Sprintf(`{"time":%d,"actor":{"user":{"name":"live.%d"}},"api":{"operation":"op%d"}}`,
			time.Now().UnixMilli(), i, i)
	}
	// A tail begins when the page says that it waits, or a little later: events are recorded until one is shown.
	for i, end := 0, time.Now().Add(patience); b.value(`document.querySelectorAll('.row').length`) == "0"; i++ {
		if time.Now().After(end) {
			b.fail("no event is shown")
		}
		b.record(line(i) + "\n" + strings.Replace(line(i), "live.", "other.", 1))
	}
	b.until(`document.querySelector('.row .who')?.textContent.startsWith('live.')`)
	b.shot("live")
	b.click(`.bar button[aria-pressed="false"]`) // pause
	b.until(`[...document.querySelectorAll('.bar button')].some((e) => e.textContent.trim().startsWith('Go on'))`)
	shown := b.value(`document.querySelectorAll('.row').length`)
	b.record(line(1000))
	b.until(`[...document.querySelectorAll('.bar button')].some((e) => /Go on \(\d+\)/.test(e.textContent))`)
	if now := b.value(`document.querySelectorAll('.row').length`); now != shown {
		t.Errorf("%s events were shown, and %s while the list is paused", shown, now)
	}
	b.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('.bar button')].find((e) =>
		e.textContent.includes('Go on')).click(); undefined`))
	b.until(`document.querySelector('.row .who')?.textContent === 'live.1000'`)
	b.press("j", kb.Enter)
	b.until(`document.querySelector('.detail')`)
	b.click(`.bar button[aria-pressed="true"]`)
	b.settled()
	b.until(`!new URLSearchParams(location.search).has('live')`)
}

// cosign has the page get checkpoints that a witness has signed too.
const cosign = `(() => { const real = window.fetch; window.fetch = async (...a) => {
	const res = await real(...a);
	if (!String(a[0]).endsWith('/checkpoint') || !res.ok) return res;
	return new Response(await res.text() + '\u2014 witness.example/one ' + btoa('12345678') + '\n'); }; })(); undefined`

// Logs says of each log which witnesses have signed it, what is past its limit and why that is still there.
func TestBrowserShowsWhatIsKeptOfALog(t *testing.T) {
	b := openTab(t)
	_, err := b.node.client(t).Call(t.Context(), "PATCH", "/api/weir/v1/groups/"+b.node.creds.project+"/settings", nil,
		map[string]any{"legalHold": true, "retentionDays": 30})
	if err != nil {
		t.Fatal(err)
	}
	b.record(fmt.Sprintf(`{"time":%d}`+"\n", time.Now().AddDate(0, 0, -40).UnixMilli()))
	b.arrive()
	const shown = `document.querySelector('dialog .inside').textContent`
	logs := func() {
		b.click(`.top button:not(.icon)`)
		b.until(`document.querySelectorAll('.logs .verdict').length === 3`)
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // until it is sequenced
		b.open("/")
		b.settled()
		logs()
		if strings.Contains(b.value(shown), "past the limit: legal hold") {
			break
		}
		if time.Now().After(end) {
			b.fail("nothing is past the limit")
		}
	}
	for _, part := range []string{"Legal hold: nothing is removed.", "No witness has signed it."} {
		if got := b.value(shown); !strings.Contains(got, part) {
			t.Errorf("the page does not say %q: %s", part, got)
		}
	}
	b.press(kb.Escape)
	b.until(`!document.querySelector('dialog')`)
	b.do(chromedp.Evaluate[chromedp.Void](cosign))
	logs()
	if got := b.value(shown); !strings.Contains(got, "witness.example/one") || strings.Contains(got, "No witness") {
		t.Errorf("the page does not name the witness: %s", got)
	}
	b.shot("logs-kept")
}

const overviewButton = `.top button[aria-pressed]`

// questions is a script that says how many questions, each of them an event, the page has asked since its resource
// timings were cleared.
const questions = `performance.getEntriesByType('resource').map((e) => new URL(e.name)).filter((u) =>
	u.pathname.includes('/events') && !u.searchParams.get('read')).length`

// However many workspaces there are, the overview asks about a dozen, and about more when somebody wants them.
func TestBrowserLooksAtManyWorkspacesByTheDozen(t *testing.T) {
	b := openTab(t)
	for i := range 13 {
		_, err := b.node.client(t).Call(t.Context(), "POST", "/api/atlas/v2/groups/"+b.node.creds.project+"/streams", nil,
			map[string]any{"name": fmt.Sprintf("more%d", i),
				"dataProcessRegion": map[string]string{"cloudProvider": "AWS", "region": "VIRGINIA_USA"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.arrive()
	b.do(chromedp.Evaluate[chromedp.Void](`performance.clearResourceTimings()`))
	b.click(overviewButton)
	for _, want := range []struct{ shown, asked string }{{"12", "14"}, {"15", "17"}} { // two questions are of what is new
		b.until(`document.querySelectorAll('.overview .logs section').length === ` + want.shown)
		b.overviewed()
		if got := b.value(questions); got != want.asked {
			t.Errorf("with %s workspaces the overview has asked %s questions, want %s", want.shown, got, want.asked)
		}
		b.shot("overview-" + want.shown)
		if want.shown == "12" {
			b.click(`.overview main > p button`)
		}
	}
	b.until(`!document.querySelector('.overview main > p button')`)
}

// The overview says what is new and what happened, with a question for each workspace, and leads to the events.
func TestBrowserKeepsAnEye(t *testing.T) {
	b := openTab(t)
	now := time.Now()
	event := func(name, from string, age time.Duration, status int) string {
		return fmt.Sprintf(`{"time":%d,"actor":{"user":{"name":%q}},"src_endpoint":{"ip":%q},"status_id":%d}`+"\n",
			now.Add(-age).UnixMilli(), name, from, status)
	}
	b.record(event("eye.old", "192.0.2.1", 10*24*time.Hour, 1) + event("eye.old", "192.0.2.1", time.Hour, 1) +
		event("eye.new", "192.0.2.9", time.Hour, 2) + event("eye.new", "192.0.2.9", 0, 2))
	b.arrive()
	b.do(chromedp.Evaluate[chromedp.Void](`performance.clearResourceTimings()`))
	b.click(overviewButton)
	b.overviewed()
	const workspace = `document.querySelector('.overview .logs section')`
	// Of the workspace, of the project's own log, of the last day, and of the days before it.
	if got := b.value(questions); got != "4" {
		t.Errorf("the overview asks %s questions", got)
	}
	news := b.value(`document.querySelector('.news').textContent`)
	for _, part := range []string{"eye.new", "192.0.2.9"} {
		if !strings.Contains(news, part) {
			t.Errorf("%s is not new: %s", part, news)
		}
	}
	for _, part := range []string{"eye.old", "192.0.2.1"} {
		if strings.Contains(news, part) {
			t.Errorf("%s is new, and was there 10 days ago: %s", part, news)
		}
	}
	if got := b.value(workspace + `.querySelector('.last').textContent`); !strings.Contains(got, "eye.new") {
		t.Errorf("the last event is %s", got)
	}
	if got := b.value(workspace + `.querySelectorAll('.days g').length`); got != "30" &&
		time.Now().UTC().Day() == now.UTC().Day() {
		t.Errorf("the histogram has %s days", got)
	}
	total := b.value(workspace + `.querySelector('dd').textContent`)
	failed := b.value(workspace + `.querySelector('dd button').textContent`)
	b.click(`.overview .logs section dd button`)
	b.settled()
	if got := b.value(`document.querySelector('.bar h1').textContent`); got != failed+" events" {
		t.Errorf("%s have failed, and %s are found", failed, got)
	}
	b.do(chromedp.NavigateBack())
	b.overviewed()
	b.click(`.overview .logs section h3 button`)
	b.settled()
	if got := b.value(`document.querySelector('.bar h1').textContent`); got != total+" events" {
		t.Errorf("there are %s events, and %s are found", total, got)
	}
}

// The address is all that is needed to show the same again; dragging in the histogram is in it.
func TestBrowserKeepsAllInTheAddress(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.until(`document.querySelector('.histogram .good')`)
	b.do(chromedp.Evaluate[chromedp.Void](`(() => {
		const svg = document.querySelector('.histogram svg'), r = svg.getBoundingClientRect();
		const at = (type, f) => svg.dispatchEvent(new PointerEvent(type, { clientX: r.left + r.width * f, clientY: r.top + 20,
			button: 0, pointerId: 1, bubbles: true })); svg.setPointerCapture = () => {};
		at('pointerdown', 0.5);
		setTimeout(() => at('pointermove', 0.9), 50);
		setTimeout(() => at('pointerup', 0.9), 100); })()`))
	b.until(`/from=2.*to=2/.test(location.search)`)
	b.settled()
	b.press("j", kb.Enter)
	b.until(`document.querySelector('.detail .tree')`)
	b.click(`.zone`)
	b.click(`.row-head .cell:nth-child(6) .actions button:last-child`)
	b.until(`document.querySelectorAll('.row-head .cell').length === 5`)
	const sentence = `document.querySelector('.sentence').textContent`
	link, shown := b.value(`location.pathname + location.search`), b.value(sentence)
	rows := b.value(`document.querySelector('.rows').innerText`)
	b.open("/")
	b.settled()
	b.open(link)
	b.settled()
	b.until(`document.querySelector('.sentence')`)
	if again := b.value(`document.querySelector('.sentence').textContent`); again != shown {
		t.Errorf("the link shows %q, not %q", again, shown)
	}
	if again := b.value(`document.querySelector('.rows').innerText`); again != rows {
		t.Errorf("the link lists\n%s\nnot\n%s", again, rows)
	}
	b.do(chromedp.NavigateBack())
	b.settled()
}

// However far somebody scrolls, the tab holds a window of rows.
func TestBrowserScrollsInBoundedMemory(t *testing.T) {
	b := openTab(t)
	var lines strings.Builder
	now := time.Now().UnixMilli()
	const n = 3000
	for i := range n {
		fmt.Fprintf(&lines, `{"time":%d,"metadata":{"uid":"many-%d"},"actor":{"user":{"name":"many"}}}`+"\n", now-int64(i), i)
	}
	b.record(lines.String())
	b.arrive()
	b.find("who:many")
	for end := time.Now().Add(2 * patience); b.value(`Boolean(document.querySelector('.end'))`) != "true"; {
		if time.Now().After(end) {
			b.fail("the end does not come")
		}
		b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.rows').scrollTop = 1e9`))
		if drawn := b.value(`document.querySelectorAll('.row').length <= 80`); drawn != "true" {
			t.Fatalf("more rows are drawn than fit")
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.until(`(document.querySelector('.rows').scrollTop = 1e9,
		document.querySelector('.row:last-child')?.getAttribute('aria-rowindex')) === '` + fmt.Sprint(n+1) + `'`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.rows').scrollTop = 0`))
	b.until(`document.querySelector('.row[aria-rowindex="2"] .who')?.textContent === 'many'`) // read again by its cursor
}

func TestBrowserOnASmallScreen(t *testing.T) {
	b := openTab(t)
	b.size(375, 720)
	b.open("/")
	fits := func(view string) {
		if got := b.value(`document.documentElement.scrollWidth`); got != "375" {
			t.Errorf("%s is %s wide", view, got)
		}
	}
	b.until(`document.querySelector('.signin input')`)
	fits("sign-in")
	b.arrive()
	fits("explore")
	b.click(overviewButton)
	b.overviewed()
	fits("overview")
	b.manage("serviceAccounts")
	fits("manage")
	b.click(`.kind > .bar button`)
	b.until(`document.querySelector('dialog[open] form')`)
	fits("a form")
	b.open("/")
	b.settled()
	b.click(`.facets-button`)
	b.until(`document.querySelector('.facets').offsetHeight > 0`)
	fits("filter")
	b.press("?")
	b.until(`document.querySelector('dialog[open]')`) // which takes the next key
	fits("help")
	b.press(kb.Escape)
	b.until(`!document.querySelector('dialog[open]')`) // which takes no key of the page's
	b.press("j", kb.Enter)
	b.until(`document.querySelector('.detail .tree')`)
	fits("event")
}

// axe-core finds nothing to complain of in any view, light or dark. WEIR_AXE names its axe.min.js.
func TestBrowserViewsAreAccessible(t *testing.T) {
	b := openTab(t)
	axe, err := os.ReadFile(os.Getenv("WEIR_AXE"))
	if err != nil {
		t.Fatalf("WEIR_AXE must name the file axe.min.js of axe-core: %v", err)
	}
	for _, dark := range []bool{false, true} {
		b.dark(dark)
		check := func(view string) {
			t.Helper()
			b.do(chromedp.Evaluate[chromedp.Void](string(axe) + `; window.findings = null; axe.run().then((r) => {
				findings = r.violations.map((v) => v.id + ': ' +
					v.nodes.slice(0, 3).map((n) => n.html + ' ' + n.failureSummary).join(' | ')); }); undefined`))
			b.until(`findings`)
			if got := b.value(`findings.join('\n')`); got != "" {
				t.Errorf("%s, dark %t: %s", view, dark, got)
			}
		}
		b.open("/")
		if !dark {
			b.until(`document.querySelector('.signin input')`)
			check("sign-in")
			b.arrive()
		}
		b.settled()
		check("explore")
		b.press("j", kb.Enter)
		b.until(`document.querySelector('.detail .tree')`)
		check("event")
		b.press("?")
		b.until(`document.querySelector('dialog[open]')`)
		check("help")
		b.press(kb.Escape)
		b.until(`!document.querySelector('dialog')`) // which would take the click
		b.click(`.top button:not(.icon)`)
		b.until(`document.querySelectorAll('.logs .verdict').length === 3`)
		check("logs")
		b.press(kb.Escape)
		b.until(`!document.querySelector('dialog')`)
		b.click(`.bar button:last-child`)
		check("export")
		b.open("/?view=overview")
		b.overviewed()
		check("overview")
		for _, kind := range []string{"serviceAccounts", "deliveries", "alerts", "settings"} {
			b.manage(kind)
			check(kind)
			if kind != "settings" {
				b.click(`.kind > .bar button`)
				b.until(`document.querySelector('dialog[open] form')`)
				check("another of " + kind)
			}
		}
		b.manage("serviceAccounts")
		b.click(`.item [aria-expanded]`)
		b.until(`document.querySelector('.item .item')`)
		check("what a service account has")
		b.click(`.item .quiet-danger`)
		b.until(`document.querySelector('dialog[open] .danger')`)
		check("before something is deleted")
		b.open("/?q=a+and+and")
		b.until(`document.querySelector('.query-problem')`)
		check("a wrong query")
		b.open("/?q=actor.user.nme:x")
		b.until(`document.querySelector('.nothing')`)
		check("nothing found")
	}
}
