//go:build browser

package node

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// listing shows a list of its own above the page: window.pages are its events, and window.pick chooses one.
const listing = `Promise.all(['html', 'list'].map((name) => import('/web/' + name + '.js'))).then(([page, list]) => {
	const { html, render } = page;
	const box = document.createElement('div');
	box.className = 'table';
	box.style.cssText = 'position: fixed; inset: 0 0 auto 0; height: %dpx; z-index: 9;' +
		'display: flex; flex-direction: column';
	document.body.append(box);
	window.pages = (%s)(list);
	const state = { columns: ['time'], zone: 'utc' };
	window.pick = (selected) => render(html` + "`<${list.List} pages=${pages} state=${state}" + `
		selected=${selected} open=${() => {}} failed=${(e) => { throw e; }} narrow=${false}><div
		class="head"><div class="row-head"></div></div><//>` + "`" + `, box);
	pick(-1);
}); undefined`

// rowsSeen is a script for the numbers of the first and the last event that are seen as a whole.
const rowsSeen = `(() => { const box = document.querySelector('.rows').getBoundingClientRect();
	const top = document.querySelector('.head').getBoundingClientRect().bottom;
	const all = [...document.querySelectorAll('.row')].filter((e) => { const r = e.getBoundingClientRect();
		return r.top >= top - 1 && r.bottom <= box.bottom + 1; }).map((e) => e.getAttribute('aria-rowindex') - 2);
	return [Math.min(...all), Math.max(...all)]; })()`

func (b *tab) firstSeen() int {
	b.t.Helper()
	n, err := strconv.Atoi(b.value(rowsSeen + `[0]`))
	if err != nil {
		b.fail(err.Error())
	}
	return n
}

// wheel turns the wheel above the list.
func (b *tab) wheel(pixels float64) {
	b.t.Helper()
	call(b, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: "mouseWheel", X: 200, Y: 200, DeltaY: pixels,
		DeltaX: 1e-9}) // It must be there, and a zero would not be sent.
}

// However many events there are, each is reached: by the scroll bar, and row by row.
func TestBrowserScrollsThroughMillions(t *testing.T) {
	b := openTab(t)
	b.open("/")
	const n = 3_000_000
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(listing, 600, fmt.Sprintf(`() => ({ total: %d, done: true,
		row: (i) => ({ log: '', index: i, line: '', event: { time: i } }), kept: () => [], next: () => Promise.resolve(),
		back: () => Promise.resolve(false) })`, n))))
	b.until(`document.querySelector('.row')`)
	if got := b.firstSeen(); got != 0 {
		t.Errorf("the list begins with event %d", got)
	}
	to := func(script string) {
		b.t.Helper()
		b.do(chromedp.Evaluate[chromedp.Void](`(() => { const rows = document.querySelector('.rows');
			rows.scrollTop = ` + script + `; })(); undefined`))
	}
	to(`1e9`)
	b.until(rowsSeen + `[1] === ` + strconv.Itoa(n-1))
	b.until(`document.querySelector('.end').getBoundingClientRect().bottom <=
		document.querySelector('.rows').getBoundingClientRect().bottom + 1`)
	to(`rows.scrollHeight / 2`)
	b.until(`Math.abs(` + rowsSeen + `[0] - ` + strconv.Itoa(n/2) + `) < 15000`)
	for _, place := range []int{n / 2, 33_340, n - 33_340, n - 60, 50} { // also where the ends begin
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`pick(%d)`, place)))
		b.until(fmt.Sprintf(rowsSeen+`[0] <= %d && `+rowsSeen+`[1] >= %[1]d`, place))
		for _, pixels := range []float64{120, -120} {
			before := b.firstSeen()
			for i := range 8 {
				b.wheel(pixels)
				want := before + (i+1)*int(pixels)/30
				b.until(fmt.Sprintf(`Math.abs(`+rowsSeen+`[0] - %d) <= 1`, want))
			}
		}
		for i := range 60 { // rows, by the keys
			b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`pick(%d)`, min(place+i, n-1))))
			b.until(fmt.Sprintf(rowsSeen+`[0] <= %d && `+rowsSeen+`[1] >= %[1]d`, min(place+i, n-1)))
		}
	}
	to(`0`)
	b.until(rowsSeen + `[0] === 0`)
}

// Events that are drawn and not in memory are read again, wherever among the others they are, and each page once.
func TestBrowserReadsAgainWhatItDraws(t *testing.T) {
	b := openTab(t)
	b.open("/")
	for _, of := range []struct{ pages, size int }{{5, 50}, {40, 5}} { // more pages than are kept in memory
		b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.table')?.remove(); undefined`))
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(listing, 6000, fmt.Sprintf(`({ Pages }) => {
			const [pages, size] = [%d, %d], made = new Pages('', {}, 'newest'), some = (i) => Array.from({ length: size },
				(_, n) => ({ log: '', index: i * size + n, line: '', event: { time: 0 } }));
			made.pages = Array.from({ length: pages }, (_, i) => ({ cursor: i, first: i * size, count: size,
				rows: i === 0 || i === pages - 1 ? some(i) : null }));
			made.total = pages * size;
			made.done = true;
			window.reads = 0;
			made.read = (i) => { reads++; return Promise.resolve({ rows: some(i) }); };
			return made; }`, of.pages, of.size))))
		b.until(`document.querySelectorAll('.row').length >= 200 && ![...document.querySelectorAll('.row')].some((e) =>
			!e.querySelector('.time'))`)
		time.Sleep(300 * time.Millisecond) // in which the page would read more
		want := strconv.Itoa(of.pages - 2)
		if got := b.value(`reads`); got != want {
			t.Errorf("%d pages were read again %s times, want %s", of.pages, got, want)
		}
	}
}
