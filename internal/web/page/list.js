import { html, useState, useEffect, useLayoutEffect, useRef, useCallback } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import * as time from './time.js';
import { column } from './event.js';
import { visible } from './visible.js';
import { question } from './state.js';

const pageSize = 100;
const keptPages = 12; // whose events are in memory; of the others only the cursor is, by which they come again
const beyond = 12; // rows that are drawn above and below what is seen
const longest = 300; // characters of a cell

// Pages are the events of a question as far as somebody has scrolled.
export class Pages {
  constructor(project, asked, order) {
    Object.assign(this, { project, asked, order, pages: [], total: 0, done: false, stopped: new AbortController() });
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

  // drop forgets the events of the pages that are farthest from one.
  drop(near) {
    const loaded = this.pages.map((p, i) => [Math.abs(i - near), p]).filter(([, p]) => p.rows);
    loaded.sort((a, b) => a[0] - b[0]);
    for (const [, p] of loaded.slice(keptPages)) p.rows = null;
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
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [, redraw] = useState(0);
  const rowHeight = narrow ? 70 : 30,
    headHeight = narrow ? 0 : 32;
  const again = useCallback(() => redraw((n) => n + 1), []);
  useLayoutEffect(() => {
    const el = box.current;
    const measure = () => setView({ top: el.scrollTop, height: el.clientHeight });
    const watch = new ResizeObserver(measure);
    watch.observe(el);
    el.addEventListener('scroll', measure, { passive: true });
    return () => {
      watch.disconnect();
      el.removeEventListener('scroll', measure);
    };
  }, []);
  useEffect(() => {
    box.current.scrollTop = 0;
  }, [pages]);
  const printing = usePrinting();
  const from = Math.max(0, Math.floor(view.top / rowHeight) - beyond);
  const to = Math.min(pages.total, Math.ceil((view.top + view.height) / rowHeight) + beyond);
  useEffect(() => {
    if (!pages.done && to >= pages.total - beyond && pages.total > 0) pages.next().then(again, failed);
    for (const i of [from, to - 1])
      if (i >= 0 && i < pages.total && !pages.row(i)) pages.back(i).then((read) => read && again(), failed);
  });
  useEffect(() => {
    if (selected < 0) return;
    const el = box.current,
      y = selected * rowHeight;
    if (y < el.scrollTop) el.scrollTop = y;
    else if (y + rowHeight + headHeight > el.scrollTop + el.clientHeight) {
      el.scrollTop = y + rowHeight + headHeight - el.clientHeight;
    }
  }, [selected, rowHeight]);
  const rows = [];
  for (const i of printing ? pages.kept() : Array.from({ length: Math.max(0, to - from) }, (_, n) => from + n)) {
    const row = pages.row(i);
    rows.push(html`<div key=${i} class=${'row' + (i === selected ? ' selected' : '')} role="row" aria-rowindex=${i + 2}
      aria-selected=${i === selected} style=${{ top: i * rowHeight + 'px' }}
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
    <div class="all" role="rowgroup" style=${{ height: pages.total * rowHeight + 'px' }}>${rows}</div>
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
