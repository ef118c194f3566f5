import { html, useState, useEffect, useLayoutEffect, useRef, useCallback } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import * as time from './time.js';
import { column } from './event.js';
import { visible } from './visible.js';
import { question } from './state.js';
import { scale, Scroller } from './scroll.js';

const pageSize = 100;
const keptPages = 12; // whose events are in memory; of the others only the cursor is, by which they come again
const beyond = 12; // rows that are drawn above and below what is seen
const longest = 300; // characters of a cell
const resting = 200; // milliseconds without scrolling, after which the scroll bar is put right

// Pages are the events of a question as far as somebody has scrolled.
export class Pages {
  constructor(project, asked, order) {
    Object.assign(this, { project, asked, order, pages: [], total: 0, done: false, stopped: new AbortController() });
    this.drawn = [0, 0]; // the first event that is drawn, and the one behind the last
  }

  stop() {
    this.stopped.abort();
  }

  // next reads the page behind those that are known.
  next() {
    if (this.done || this.broken) return Promise.resolve();
    this.reading ??= this.read(this.pages.at(-1)?.next)
      .then((got) => {
        this.pages.push({
          cursor: this.pages.at(-1)?.next,
          next: got.cursor,
          first: this.total,
          count: got.rows.length,
          rows: got.rows,
        });
        this.total += got.rows.length;
        this.done = !got.cursor;
        this.drop(this.pages.length - 1);
      })
      .catch((e) => {
        this.broken = true; // until somebody searches again
        throw e;
      })
      .finally(() => {
        this.reading = null;
      });
    return this.reading;
  }

  read(cursor) {
    return api.events(this.project, this.asked, { limit: pageSize, order: this.order, cursor }, this.stopped.signal);
  }

  pageOf(index) {
    let low = 0,
      high = this.pages.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.pages[middle].first <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  // row returns an event; nothing if its page has to be read again, which back does.
  row(index) {
    const page = this.pages[this.pageOf(index)];
    return page?.rows?.[index - page.first];
  }

  // back tells whether it has read the page of an event again.
  async back(index) {
    const i = this.pageOf(index),
      page = this.pages[i];
    if (!page || page.rows || page.loading || this.broken) return false;
    page.loading = true;
    try {
      page.rows = (await this.read(page.cursor)).rows.slice(0, page.count);
    } catch (e) {
      this.broken = true;
      throw e;
    } finally {
      page.loading = false;
    }
    this.drop(i);
    return true;
  }

  // drop forgets the events of the pages that are farthest from one. Those that are drawn stay, since they would be
  // read again at once.
  drop(near) {
    const [from, to] = this.drawn;
    const isDrawn = (p) => p.first < to && p.first + p.count > from;
    const loaded = this.pages.map((p, i) => [isDrawn(p) ? -1 : Math.abs(i - near), p]).filter(([, p]) => p.rows);
    loaded.sort((a, b) => a[0] - b[0]);
    const kept = Math.max(keptPages, loaded.filter(([distance]) => distance < 0).length);
    for (const [, p] of loaded.slice(kept)) p.rows = null;
  }

  // kept returns the numbers of the events that are in memory.
  kept() {
    return this.pages.flatMap((p) => (p.rows ?? []).map((_, i) => p.first + i));
  }

  find(wanted, nameOf) {
    for (const page of this.pages) {
      const i = page.rows?.findIndex((r) => nameOf(r) === wanted) ?? -1;
      if (i >= 0) return page.first + i;
    }
    return -1;
  }
}

// nameOf returns what the address says of an event: its log and entry, or its uid while it waits to be sequenced.
export const nameOf = (r) => r.log + (r.index === null ? '~' + (r.event.metadata?.uid ?? '') : '/' + r.index);

function Cell({ name, row, zone }) {
  if (name === 'time') {
    return html`<span class="cell time" role="gridcell">${time.dateTime(row.event.time, zone)}</span>`;
  }
  let text = visible(String(column(row.event, name)));
  if (text.length > longest) text = text.slice(0, longest) + '…';
  const kind = name === 'outcome' ? ' outcome-' + text : '';
  return html`<span
      class=${'cell ' + (['outcome', 'who', 'what', 'target', 'from'].includes(name) ? name : 'field') + kind}
    role="gridcell" title=${text}><bdi>${text}</bdi></span>`;
}

// usePrinting tells whether the page is being printed: then all events that are in memory are drawn.
function usePrinting() {
  const [printing, setPrinting] = useState(false);
  useEffect(() => {
    const begin = () => setPrinting(true),
      end = () => setPrinting(false);
    addEventListener('beforeprint', begin);
    addEventListener('afterprint', end);
    return () => {
      removeEventListener('beforeprint', begin);
      removeEventListener('afterprint', end);
    };
  }, []);
  return printing;
}

// List shows events in a window of rows, however many there are.
export function List({ pages, state, selected, open, failed, narrow, children }) {
  const box = useRef(null),
    scroller = useRef(null);
  const [view, setView] = useState({ top: 0, bar: 0, height: 600 });
  const [, redraw] = useState(0);
  const rowHeight = narrow ? 70 : 30,
    headHeight = narrow ? 0 : 32;
  const again = useCallback(() => redraw((n) => n + 1), []);
  const whole = pages.total * rowHeight;
  const look = useCallback(() => {
    const { place, bar } = scroller.current,
      height = box.current.clientHeight;
    const next = { top: place, bar, height };
    setView((old) => (Object.keys(next).every((k) => next[k] === old[k]) ? old : next));
  }, []);
  useLayoutEffect(() => {
    const el = box.current;
    scroller.current = new Scroller(el);
    let rest = 0;
    const scrolled = () => {
      scroller.current.scrolled();
      look();
      clearTimeout(rest);
      rest = setTimeout(() => {
        scroller.current.rested();
        look();
      }, resting);
    };
    const watch = new ResizeObserver(look);
    watch.observe(el);
    el.addEventListener('scroll', scrolled, { passive: true });
    return () => {
      clearTimeout(rest);
      watch.disconnect();
      el.removeEventListener('scroll', scrolled);
    };
  }, []);
  useLayoutEffect(() => {
    scroller.current.sized(whole);
    look();
  }, [whole]);
  useEffect(() => {
    scroller.current.goTo(0);
    look();
  }, [pages]);
  const printing = usePrinting();
  const from = Math.max(0, Math.floor(view.top / rowHeight) - beyond);
  const to = Math.min(pages.total, Math.ceil((view.top + view.height) / rowHeight) + beyond);
  useEffect(() => {
    if (!pages.done && to >= pages.total - beyond && pages.total > 0) pages.next().then(again, failed);
    pages.drawn = [from, to];
    for (let i = from; i < to; i++) if (!pages.row(i)) pages.back(i).then((read) => read && again(), failed);
  });
  useEffect(() => {
    if (selected < 0) return;
    const { place } = scroller.current,
      height = box.current.clientHeight,
      y = selected * rowHeight;
    if (y < place) scroller.current.goTo(y);
    else if (y + rowHeight + headHeight > place + height) scroller.current.goTo(y + rowHeight + headHeight - height);
    look();
  }, [selected, rowHeight]);
  const rows = [];
  for (const i of printing ? pages.kept() : Array.from({ length: Math.max(0, to - from) }, (_, n) => from + n)) {
    const row = pages.row(i);
    rows.push(html`<div key=${i} class=${'row' + (i === selected ? ' selected' : '')} role="row" aria-rowindex=${i + 2}
      aria-selected=${i === selected} style=${{ top: i * rowHeight - view.top + view.bar + 'px' }}
      onClick=${() => open(i)}>
      ${
        row
          ? state.columns.map((name) => html`<${Cell} key=${name} name=${name} row=${row} zone=${state.zone} />`)
          : html`<span class="cell quiet" role="gridcell">…</span>`
      }
    </div>`);
  }
  return html`<div class="rows" ref=${box} tabindex="0" role="grid" aria-label=${t.list.label}
    aria-rowcount=${pages.done ? pages.total + 1 : -1}>
    ${children}
    <div class="all" role="rowgroup" style=${{ height: scale(whole).height + 'px' }}>${rows}</div>
    ${pages.done && pages.total > 0 && html`<p class="quiet end">${t.list.end}</p>`}
    ${
      printing &&
      !(pages.done && rows.length === pages.total) &&
      html`<p
        class="end">${t.list.printed(rows.length)}</p>`
    }
  </div>`;
}

// template returns the widths of the columns.
export function template(columns) {
  const widths = {
    time: '12.5rem',
    outcome: '5.5rem',
    from: 'minmax(5rem, 1fr)',
    who: 'minmax(5rem, 1.6fr)',
    what: 'minmax(5rem, 1.6fr)',
    target: 'minmax(5rem, 1.6fr)',
  };
  return columns.map((c) => (Object.hasOwn(widths, c) ? widths[c] : 'minmax(5rem, 1.4fr)')).join(' ');
}

// firstPage reads the first page of a state's question.
export async function firstPage(state) {
  const pages = new Pages(state.project, question(state), state.order);
  await pages.next();
  return pages;
}
