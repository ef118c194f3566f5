//go:build browser

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/weirlog/weir/internal/config"
)

// tab is a tab of a browser that shows the page of a node.
type tab struct {
	t    *testing.T
	ctx  context.Context
	node *running

	mu       sync.Mutex
	problems []string // what the browser reported: errors, exceptions, violations of the policy
}

// openTab starts a browser. Where none is expected to be installed, these tests are not built: see the tag above.
func openTab(t *testing.T) *tab {
	t.Helper()
	return openTabAt(t, run(t, func(c *config.Config) { c.SequenceDelay = 100 * time.Millisecond }))
}

// openTabAt starts a browser for the page of a node.
func openTabAt(t *testing.T, node *running) *tab {
	t.Helper()
	program, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Fatal(err)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.WindowSize(1440, 900))...)
	t.Cleanup(stop)
	b := &tab{t: t, node: node}
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	b.ctx = ctx
	err = chromedp.Listen(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.problems = append(b.problems, fmt.Sprintf("%+v", ev.ExceptionDetails))
		case *log.EventEntryAdded:
			if ev.Entry.Source != log.EntrySourceNetwork { // replies such as 401 are what the page expects
				b.problems = append(b.problems, ev.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(b, log.Enable, cdp.Empty{})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.violations = [];
		addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective))`})
	t.Cleanup(b.check)
	return b
}

// check fails if the browser has reported anything.
func (b *tab) check() {
	b.mu.Lock()
	problems := b.problems
	b.mu.Unlock() // The browser's events wait for it, and so would what is asked below.
	for _, p := range problems {
		b.t.Errorf("the browser reports: %.500s", p)
	}
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	if got, err := chromedp.Run(ctx, chromedp.Evaluate[string](`violations.join()`)); err != nil || got != "" {
		b.t.Errorf("violations of the policy: %q, %v", got, err)
	}
}

// call sends the browser a command.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	return run1(b, func(ctx context.Context, target *chromedp.Target) (R, error) {
		return cdp.Call(ctx, target, command, params)
	})
}

// run1 has the browser do something, within a time that only one that hangs takes.
func run1[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Steps()); err != nil { // The first run must have no limit.
		b.t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	got, err := chromedp.Run(ctx, action)
	if err != nil {
		b.fail(err.Error())
	}
	return got
}

const patience = 15 * time.Second

// fail ends the test, and says what the page shows.
func (b *tab) fail(why string) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	b.shot("failed")
	shown, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 2000)`))
	b.t.Fatalf("%s; the page shows:\n%s", why, shown)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run1(b, chromedp.Steps(actions...))
}

func (b *tab) open(target string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.node.creds.url + target))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// until waits for a condition, a script, to hold.
func (b *tab) until(condition string) {
	b.t.Helper()
	for end := time.Now().Add(patience); b.value(`Boolean(`+condition+`)`) != "true"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.fail("waited in vain for " + condition)
		}
	}
}

// value returns what a script says.
func (b *tab) value(script string) string {
	b.t.Helper()
	return run1(b, chromedp.Evaluate[string](`String(`+script+`)`))
}

// press sends keys to what has the focus, as a keyboard does: what a key types goes with it, so that it is not typed if
// the page takes the key for itself.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, r := range strings.Join(keys, "") {
		key := kb.Encode(r)
		if len(key) == 3 { // down, what it types, up
			key[0].Text = key[1].Text
		}
		call(b, input.DispatchKeyEvent, *key[0])
		call(b, input.DispatchKeyEvent, *key[len(key)-1])
	}
}

// shot saves what the tab shows, where somebody wants to look at it: WEIR_SCREENSHOTS names a folder.
func (b *tab) shot(name string) {
	dir := os.Getenv("WEIR_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	data, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Log(err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644); err != nil {
		b.t.Log(err)
	}
}

func (b *tab) dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// arrive follows the link that --dev prints.
func (b *tab) arrive() {
	b.t.Helper()
	_, link, _ := strings.Cut(b.node.announced, "\n\nhttp")
	link, _, _ = strings.Cut(link, "\n")
	b.do(chromedp.Navigate("http" + link))
	b.settled()
}

// slash presses "/", which brings the focus to the query.
func (b *tab) slash() {
	b.t.Helper()
	b.press("/")
	b.until(`document.activeElement.closest('.box')`)
}

// find types a query and has it answered.
func (b *tab) find(query string) {
	b.t.Helper()
	b.slash()
	if got := b.value(`document.activeElement.value`); strings.HasSuffix(got, "/") {
		b.t.Errorf("the key went into the query: %q", got)
	}
	b.do(chromedp.SendKeys(chromedp.CSS(".box input"), query+kb.Enter))
	b.until(fmt.Sprintf(`new URLSearchParams(location.search).get('q') === %q`, query))
	b.settled()
}

// record records events in the workspace demo, and waits until they are sequenced.
func (b *tab) record(lines string) {
	b.t.Helper()
	got, err := b.node.client(b.t).Record(b.t.Context(), b.node.creds.project, "demo", []byte(lines), false)
	if err != nil || got.Recorded == 0 {
		b.t.Fatalf("%+v, %v", got, err)
	}
}

// settled waits until the results of a question are shown.
func (b *tab) settled() {
	b.t.Helper()
	b.until(`document.querySelector('.results:not([aria-busy=true])') &&
		!/…$/.test(document.querySelector('.bar h1').textContent)`)
}

// overviewed waits until the overview shows all that it asks for.
func (b *tab) overviewed() {
	b.t.Helper()
	b.until(`document.querySelector('.overview .logs section') && document.querySelector('.news section') &&
		!document.querySelector('.overview [aria-busy=true]')`)
}

// file clicks a link, and returns the file that comes into the folder. Until that is whole it has another name.
func (b *tab) file(link, folder, pattern string) []byte {
	b.t.Helper()
	b.click(link)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if files, _ := filepath.Glob(filepath.Join(folder, pattern)); len(files) == 1 {
			if data, _ := os.ReadFile(files[0]); len(data) > 0 {
				return data
			}
		}
		if time.Now().After(end) {
			b.fail("no file came")
		}
	}
}
