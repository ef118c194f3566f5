//go:build browser

package node

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// manage opens a kind of things that the project has.
func (b *tab) manage(kind string) {
	b.t.Helper()
	b.open("/?view=manage&section=" + kind)
	b.listed()
}

// listed waits until the things of a kind are shown.
func (b *tab) listed() {
	b.t.Helper()
	b.until(`document.querySelector('.kind .items, .kind .form') && !document.querySelector('.kind[aria-busy=true]') &&
		!document.querySelector('dialog[open]')`)
}

// fill opens the form for another thing of the kind that is shown, fills in fields by their names, and sends it.
func (b *tab) fill(fields ...string) {
	b.t.Helper()
	b.click(`.kind > .bar button`)
	b.until(`document.querySelector('dialog[open] form')`)
	for i := 0; i < len(fields); i += 2 {
		b.set(`dialog [name="`+fields[i]+`"]`, fields[i+1])
	}
	b.click(`dialog form .primary`)
}

// set gives a field a value, as typing does.
func (b *tab) set(selector, value string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const el = document.querySelector(%q);
		const kind = { SELECT: HTMLSelectElement, TEXTAREA: HTMLTextAreaElement }[el.tagName] ?? HTMLInputElement;
		Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(el, %q);
		el.dispatchEvent(new Event(el.tagName === 'SELECT' ? 'change' : 'input', { bubbles: true }));
	})(); undefined`, selector, value)))
}

// remove deletes the first thing that is shown; the name is typed where it has to be.
func (b *tab) remove(name string) {
	b.t.Helper()
	b.click(`.kind > .items > .item > .together .quiet-danger`)
	b.until(`document.querySelector('dialog[open] .danger')`)
	if b.value(`document.querySelector('dialog .danger').disabled`) != "true" {
		b.t.Error("it can be deleted although nothing was typed")
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#typed"), name))
	b.click(`dialog .danger`)
}

const itemNames = `[...document.querySelectorAll('.kind > .items > .item > h3')].map((h) => h.textContent).join()`

// An owner makes, changes and deletes what a project has; what is secret is shown once; each change is an event.
func TestBrowserManagesAProject(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.click(`.top button[data-view=manage]`)
	b.listed()
	b.fill("name", "second")
	b.until(itemNames + ` === 'demo,second'`)
	b.click(`.item:nth-child(2) .together button:first-child`)
	b.until(`document.querySelector('dialog[open] form')`)
	b.click(`dialog input[name=requireOCSF]`)
	b.click(`dialog form .primary`)
	b.until(`document.querySelector('.item:nth-child(2) dd:last-child')?.textContent === 'yes'`)
	b.shot("manage-workspaces")

	b.manage("serviceAccounts")
	b.fill("name", "reader", "description", "reads")
	b.until(`document.querySelectorAll('dialog .command pre').length === 2`)
	b.shot("manage-once")
	id, secret := b.value(`document.querySelectorAll('dialog pre')[0].textContent`),
		b.value(`document.querySelectorAll('dialog pre')[1].textContent`)
	b.press(kb.Escape)
	b.until(`!document.querySelector('dialog')`)
	b.listed()
	if got := b.value(`document.body.textContent`); strings.Contains(got, secret) {
		t.Error("the secret is still shown")
	}
	if res := (&visitor{t: t, base: b.node.creds.url}).signIn(id, secret); res.Value == "" {
		t.Error("the credential does not sign in")
	}
	b.open(b.value(`location.pathname + location.search`))
	b.listed()
	const reader = `[...document.querySelectorAll('.kind > .items > .item')].find((e) => e.textContent.includes('reader'))`
	b.do(chromedp.Evaluate[chromedp.Void](reader + `.querySelector('[aria-expanded]').click(); undefined`))
	b.until(reader + `.querySelectorAll('.kind').length === 2 && ` +
		reader + `.querySelector(':scope > .kind:last-child > .quiet:last-of-type')`)
	b.do(chromedp.Evaluate[chromedp.Void](
		reader + `.querySelector(':scope > .kind:last-child .bar button').click(); undefined`))
	b.until(`document.querySelector('dialog[open] form')`)
	b.set(`dialog [name=network]`, "192.0.2.0/33")
	b.click(`dialog form .primary`)
	b.until(`document.querySelector('dialog .problem')?.textContent.includes('not a CIDR block')`)
	b.set(`dialog [name=network]`, "192.0.2.0/24")
	b.click(`dialog form .primary`)
	b.until(reader + `.querySelector(':scope > .kind:last-child .item')?.textContent.includes('192.0.2.0/24')`)
	b.shot("manage-account")

	b.manage("ingestTokens")
	b.fill("name", "rsyslog", "tenantName", "second")
	b.until(`document.querySelector('dialog .command pre')?.textContent.startsWith('weir_')`)
	b.press(kb.Escape)
	b.until(itemNames + ` === 'rsyslog'`)
	b.remove("rsyslog")
	b.until(itemNames + ` === ''`)

	b.manage("notifiers")
	b.fill("name", "hook", "url", "https://hooks.example.org/1")
	b.until(`document.querySelector('dialog .command pre')?.textContent.startsWith('whsec_')`)
	b.press(kb.Escape)
	b.manage("alerts")
	b.fill("name", "failed", "query", "outcome:failure", "notify", "hook")
	b.until(itemNames + ` === 'failed' && document.querySelector('.item .state')`)
	b.shot("manage-alerts")
	b.click(`.item .together button:first-child`)
	b.until(`document.querySelector('dialog[open] form')`)
	b.set(`dialog [name=count]`, "7")
	b.set(`dialog [name=notify]`, "")
	b.click(`dialog form .primary`)
	b.until(`document.querySelector('.item dl:last-of-type').textContent.includes('At least7') &&
		!document.querySelector('.item').textContent.includes('hook')`)

	b.manage("sources")
	b.fill("name", "atlas", "atlas.baseUrl", "http://127.0.0.1:1", "atlas.clientId", "mdb_sa_id_1",
		"atlas.clientSecret", "x")
	b.until(itemNames + ` === 'atlas' && document.querySelector('.item .state')`)
	b.click(`.item .together button:first-child`)
	b.until(`document.querySelector('.item .state.PAUSED')`)
	b.remove("atlas")
	b.until(itemNames + ` === ''`)

	b.manage("deliveries")
	const hook = "http://127.0.0.1:1/hook"
	b.fill("webhookUrl", hook, "webhookSecret", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"weir.filter", "outcome:failure")
	b.until(`document.querySelector('.item .state')`)
	b.click(`.item .together button:first-child`)
	b.until(`document.querySelector('.item .state.PAUSED')`)
	b.shot("manage-deliveries")
	b.click(`.item .together button:nth-child(2)`)
	b.until(`document.querySelector('dialog[open] form')`)
	b.set(`dialog [name="weir.filter"]`, "outcome:success")
	b.click(`dialog form .primary`)
	b.until(`document.querySelector('.item')?.textContent.includes('outcome:success') &&
		document.querySelector('.item .PAUSED')`)
	b.remove(hook)
	b.until(itemNames + ` === ''`)

	b.click(`.kind > .bar button`)
	b.until(`document.querySelector('dialog[open] form')`)
	b.set(`dialog [name=type]`, "SPLUNK_LOG_EXPORT")
	b.until(`document.querySelector('dialog [name=hecUrl]')`)
	b.set(`dialog [name=hecUrl]`, "http://127.0.0.1:1")
	b.set(`dialog [name=hecToken]`, "first")
	b.click(`dialog form .primary`)
	b.until(itemNames + ` === 'http://127.0.0.1:1' && document.querySelector('.item .state')`)
	b.click(`.item .together button:nth-child(2)`)
	b.until(`document.querySelector('dialog[open] form')`)
	b.set(`dialog [name=hecUrl]`, "http://127.0.0.1:2") // which is not given the token of the first
	b.click(`dialog form .primary`)
	b.until(`document.querySelector('#field-hecToken-about.problem')`)
	b.set(`dialog [name=hecToken]`, "second")
	b.click(`dialog form .primary`)
	b.until(itemNames + ` === 'http://127.0.0.1:2'`)

	b.manage("settings")
	b.set(`[name=retentionDays]`, "29")
	b.set(`#typed`, b.value(`document.querySelector('.field code').textContent`))
	b.click(`.form .primary`)
	b.until(`document.querySelector('#field-retentionDays-about').textContent.includes('must be an integer')`)
	b.set(`[name=retentionDays]`, "400")
	b.click(`.form .primary`)
	b.until(`document.querySelector('[name=retentionDays]')?.value === '400' && !document.querySelector('#typed')`)
	b.shot("manage-settings")

	b.manage("workspaces")
	b.remove("demo")
	b.until(itemNames + ` === 'second'`)
	b.open("/?q=what%3A*GroupStreamWorkspace+or+what%3A*Token+or+what%3A*LogSettings+or+what%3A*AccessList&from=now-1h")
	b.settled()
	b.until(`document.querySelectorAll('.row').length >= 7`)
}

// A person who is no owner, or has signed in long ago, sees the resources, and is told why nothing can be changed.
func TestBrowserManageIsForOwners(t *testing.T) {
	b := openTab(t)
	b.arrive()
	b.manage("serviceAccounts")
	b.fill("name", "reader", "description", "reads")
	b.until(`document.querySelectorAll('dialog .command pre').length === 2`)
	id, secret := b.value(`document.querySelectorAll('dialog pre')[0].textContent`),
		b.value(`document.querySelectorAll('dialog pre')[1].textContent`)
	old := call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `{
		const real = window.fetch;
		window.fetch = async (...a) => {
			const res = await real(...a);
			if (!String(a[0]).endsWith('/weir/v1/session') || !res.ok) return res;
			return Response.json({ ...await res.json(), changesUntil: '2026-01-01T00:00:00Z' });
		}; }`})
	b.manage("serviceAccounts")
	const buttons = `document.querySelectorAll('.kind button:not([aria-expanded])').length`
	if got := b.value(buttons); got != "0" {
		t.Errorf("an old session has %s buttons that change things", got)
	}
	b.shot("manage-old")
	b.click(`.manage .notice button`)
	b.until(`document.querySelector('.signin form')`)
	call(b, page.RemoveScriptToEvaluateOnNewDocument,
		page.RemoveScriptToEvaluateOnNewDocumentParams(old))
	b.do(chromedp.Reload())
	b.until(`document.querySelector('.signin form')`)
	b.set(`[name=client_id]`, id)
	b.set(`[name=client_secret]`, secret)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.signin form').requestSubmit(); undefined`))
	b.listed() // where the address leads
	got := b.value(buttons + ` + document.querySelector('.manage .notice').textContent`)
	if !strings.HasPrefix(got, "0Only owners") {
		t.Errorf("a reader has: %s", got)
	}
	b.until(itemNames + `.includes('reader')`)
	b.manage("settings")
	if got := b.value(`document.querySelector('.kind fieldset').disabled`); got != "true" {
		t.Error("a reader may change settings")
	}
	b.open("/?view=overview")
	b.overviewed()
	got = b.value(`[...document.querySelectorAll('.watched h3')].map((h) => h.textContent).join()`)
	if got != "Collected,Alerts that last" {
		t.Errorf("a reader is told of: %s", got)
	}
}

// A form changes what it has, and leaves the rest of a delivery as it was.
func TestBrowserChangesNothingElseOfADelivery(t *testing.T) {
	b := openTab(t)
	path := "/api/atlas/v2/groups/" + b.node.creds.project + "/logIntegrations"
	read := func(method, path string, body any) (got map[string]any) {
		t.Helper()
		data, err := b.node.client(t).Call(t.Context(), method, path, nil, body)
		if err == nil {
			err = json.Unmarshal(data, &got)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return got
	}
	made := read("POST", path, map[string]any{"type": "WEBHOOK_LOG_EXPORT", "logTypes": []string{"STREAMS_AUDIT"},
		"webhookUrl": "https://hooks.example.org/1", "webhookSecret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"weir": map[string]any{"from": "beginning", "batch": map[string]any{"events": 7}}})
	b.arrive()
	b.manage("deliveries")
	b.until(`document.querySelector('.item .together')`)
	b.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('.item button')].find((e) =>
		e.textContent === 'Change').click(); undefined`))
	b.until(`document.querySelector('dialog[open] form')`)
	b.set(`dialog [name="weir.filter"]`, "outcome:failure")
	b.click(`dialog form .primary`)
	b.until(`!document.querySelector('dialog')`)
	made["weir"].(map[string]any)["filter"] = "outcome:failure"
	if got := read("GET", path+"/"+made["id"].(string), nil); !reflect.DeepEqual(got, made) {
		t.Errorf("the delivery is %v, want %v", got, made)
	}
}
