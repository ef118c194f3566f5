import { html, useState, useEffect, useRef, useMemo } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import * as address from './state.js';
import * as time from './time.js';
import { add, remove, has, term, ownReads } from './query.js';
import { QueryBox } from './querybox.js';
import { Range } from './range.js';
import { Histogram } from './histogram.js';
import { Facets, facetFields } from './facets.js';
import { List, Pages, nameOf, firstPage, template } from './list.js';
import { Header, Columns } from './header.js';
import { Detail } from './detail.js';
import { useLive } from './live.js';
import { HandOver } from './panels.js';
import { said } from './place.js';

// useResults answers the state's question: first the newest events, then the counts. As long as what was found is of
// another question, it is busy.
function useResults(state, turn) {
  const [found, setFound] = useState({ busy: true });
  const key = JSON.stringify([state.project, address.question(state), state.order, turn]);
  useEffect(() => {
    if (!state.project) return undefined;
    const stop = new AbortController(),
      now = () => !stop.signal.aborted;
    const asked = address.question(state);
    setFound((old) => ({ ...old, busy: true, problem: null, counting: null }));
    const run = async () => {
      const pages = await firstPage(state);
      if (!now()) return pages.stop();
      setFound({ key, pages, summary: null, busy: false });
      const summary = await api.summary(
        state.project,
        asked,
        { buckets: 60, timeZone: time.zoneName(state.zone), split: 'outcome', facets: facetFields.join(','), top: 10 },
        stop.signal,
      );
      if (now()) setFound((old) => ({ ...old, summary }));
      return undefined;
    };
    run().catch(
      (problem) =>
        now() &&
        setFound((old) => (old.pages && !old.busy ? { ...old, counting: problem } : { key, busy: false, problem })),
    );
    return () => stop.abort();
  }, [key]);
  return [found.key === key ? found : { ...found, busy: true }, setFound];
}

// useSelection knows which event is open: that of the address, also if it is not among those that are listed.
function useSelection(state, change, found) {
  const [selected, setSelected] = useState(-1);
  const [row, setRow] = useState(null);
  const [gone, setGone] = useState(false);
  const { pages } = found;
  useEffect(() => {
    setGone(false);
    if (!state.event) {
      setRow(null);
      return undefined;
    }
    const at = pages?.find(state.event, nameOf) ?? -1;
    if (at >= 0) {
      setSelected(at);
      setRow(pages.row(at));
      return undefined;
    }
    if ((row && nameOf(row) === state.event) || !pages) return undefined;
    const stop = new AbortController();
    const m = state.event.match(/^([0-9a-f]{24})(?:\/(\d+)|~(.+))$/);
    const look = async () => {
      if (!m) return null;
      if (m[2]) return api.entry(state.project, m[1], Number(m[2]), stop.signal);
      const q = { q: term('metadata.uid', m[3]), log: [m[1]], startDate: 'now-365d' };
      return (await new Pages(state.project, q, 'newest').read()).rows[0] ?? null;
    };
    look().then(
      (r) => {
        setRow(r);
        setGone(!r);
      },
      () => setGone(true),
    );
    return () => stop.abort();
  }, [state.event, pages]);
  useEffect(() => {
    if (!state.event) setSelected(-1);
  }, [pages]);
  const move = (step) => {
    if (!pages?.total) return;
    if (!document.activeElement?.closest('.detail')) document.querySelector('.rows')?.focus({ preventScroll: true });
    const next = Math.min(pages.total - 1, Math.max(0, selected + step));
    setSelected(next);
    const r = pages.row(next);
    if (state.event && r) change({ event: nameOf(r) });
  };
  const open = (i = selected) => {
    const r = pages?.row(Math.max(0, i));
    if (r) {
      setSelected(Math.max(0, i));
      change({ event: nameOf(r) });
    }
  };
  return { selected, row: state.event ? row : null, gone: state.event && gone, move, open };
}

function useNarrow() {
  const media = useMemo(() => matchMedia('screen and (max-width: 760px)'), []);
  const [narrow, setNarrow] = useState(media.matches);
  useEffect(() => {
    const changed = () => setNarrow(media.matches);
    media.addEventListener('change', changed);
    return () => media.removeEventListener('change', changed);
  }, []);
  return narrow;
}

// useKeys lets all be done from the keyboard, unless something is being typed or a dialog is open.
function useKeys(actions) {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const pressed = (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
      const typing = e.target.closest?.('input, select, textarea');
      const onButton = e.key === 'Enter' && e.target.closest?.('button, a, [role=tab]');
      if (e.key !== 'Escape' && (typing || onButton)) return;
      const act = latest.current[e.key];
      if (!act) return;
      if (e.key !== 'Escape') e.preventDefault();
      act();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

// Nothing says why no events are shown, and what to do.
function Nothing({ state, summary, change }) {
  const hints = summary?.hints ?? [];
  return html`<div class="nothing" role="status">
    <p><b>${t.list.nothing}</b></p>
    ${hints.map((h) => html`<p>${t.list.near(h.field, h.near)}</p>`)}
    ${!state.q && html`<p>${t.list.empty}</p>`}
    <p class="together">
      ${state.q && html`<button onClick=${() => change({ q: '' })}>${t.list.clear}</button>`}
      ${
        state.from !== 'now-30d' &&
        html`<button
          onClick=${() => change({ from: 'now-30d', to: '' })}>${t.list.widen}</button>`
      }
    </p>
  </div>`;
}

// Explore is where events are found and looked at.
export function Explore({ who, state, change, projects, logs, problem, pinned, repin, show, signOut }) {
  const [turn, setTurn] = useState(0);
  const [handing, setHanding] = useState(false);
  const [checked, setChecked] = useState(0);
  const [facetsOpen, setFacetsOpen] = useState(false);
  const input = useRef(null);
  const narrow = useNarrow();
  const [results, setFound] = useResults(state, turn);
  const live = useLive(state);
  const found = state.live
    ? { ...results, pages: live?.pages, busy: !live, problem: live?.problem ?? results.problem }
    : results; // What there is to filter by is that of the range.
  const { selected, row, gone, move, open } = useSelection(state, change, found);
  const again = () => {
    api.forget();
    setTurn((n) => n + 1);
  };
  const run = (q) => (q === state.q ? again() : change({ q, event: '' }));
  const toggle = (one) => change({ q: has(state.q, one) ? remove(state.q, one) : add(state.q, one) });
  const include = (one) => toggle(one),
    exclude = (one) => toggle('-' + one);
  const failed = (e) => e.name !== 'AbortError' && setFound((old) => ({ ...old, problem: e }));
  const close = () => {
    change({ event: '' });
    document.querySelector('.rows')?.focus();
  };
  const verify = () => row && setChecked((n) => n + 1);
  useEffect(() => setChecked(0), [state.event]);
  useKeys({
    '/': () => {
      input.current.focus();
      input.current.select();
    },
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => open(),
    v: verify,
    r: again,
    '?': () => show('help'),
    Escape: () => state.event && close(),
  });
  const wrongQuery = found.problem?.fields?.find((f) => f.field === 'q')?.description ?? '';
  const other =
    problem || (found.problem && !wrongQuery ? said(found.problem) : found.counting ? said(found.counting) : '');
  const { pages, summary } = found;
  return html`<div class=${'explore' + (row || gone ? ' with-detail' : '') + (facetsOpen ? ' with-facets' : '')}>
    <${Header} state=${state} who=${who} projects=${projects} logs=${logs} change=${change} signOut=${signOut}
      show=${show} />
    <div class="ask" role="region" aria-label=${t.query.label}>
      <${QueryBox} state=${state} summary=${summary} run=${run} problem=${wrongQuery} input=${input} />
      <${Range} state=${state} change=${change} />
    </div>
    ${
      other &&
      html`<div class="problem banner" role="alert">${other} <button
        onClick=${again}>${t.retry}</button></div>`
    }
    <button class="facets-button" aria-expanded=${facetsOpen}
        onClick=${() => setFacetsOpen(!facetsOpen)}>${t.facets.title}</button>
    <${Facets} summary=${summary} failed=${Boolean(found.problem || found.counting)} query=${state.q} include=${include}
        exclude=${exclude} />
    <main class="results" aria-busy=${Boolean(found.busy)}>
      ${
        summary &&
        html`<p class="printed">${t.list.range(
          time.dateTime(Date.parse(summary.startDate), state.zone, false),
          time.dateTime(Date.parse(summary.endDate), state.zone, false),
          time.zoneName(state.zone),
        )}</p>`
      }
      ${
        !state.live &&
        html`<${Histogram} summary=${summary} zone=${state.zone} choose=${(from, to) =>
          change({ from: new Date(from).toISOString(), to: new Date(to).toISOString(), event: '' })} />`
      }
      <div class="bar">
        <h1 aria-live="polite">${live && !live.problem ? t.live.heading(live.pages.total) : heading(found)}</h1>
        <button aria-pressed=${Boolean(state.live)} title=${t.live.title}
          onClick=${() => change({ live: state.live ? '' : 'on', event: '' })}>${t.live.button}</button>
        ${
          live &&
          html`<button aria-pressed=${live.paused} onClick=${live.pause}>
          ${live.paused ? t.live.go(live.waiting) : t.live.pause}</button>`
        }
        <button aria-pressed=${has(state.q, ownReads)} title=${t.query.hideReadsTitle}
          onClick=${() => toggle(ownReads)}>${t.query.hideReads}</button>
        ${
          !state.live &&
          html`<button onClick=${() => change({ order: state.order === 'newest' ? 'oldest' : 'newest' })}>
          ${t.list.order[state.order]}</button>
        <button class="icon" title=${t.list.refresh} aria-label=${t.list.refresh} onClick=${again}>⟳</button>`
        }
        <span class="space"></span>
        <button onClick=${() => setHanding(true)}>${t.hand.button}</button>
      </div>
      ${live?.cut && html`<p class="notice" role="status">${t.live.cut}</p>`}
      ${live?.missed > 0 && html`<p class="notice" role="status">${t.live.missed(live.missed)}</p>`}
      <div class="table" ref=${(el) => el?.style.setProperty('--columns', template(state.columns))}>
        ${
          pages &&
          html`<${List} pages=${pages} state=${state} selected=${selected} narrow=${narrow}
          open=${open} failed=${failed}><${Columns} state=${state} change=${change} /><//>`
        }
        ${
          pages &&
          !pages.total &&
          !found.busy &&
          !state.live &&
          html`<${Nothing} state=${state} summary=${summary}
            change=${change} />`
        }
      </div>
    </main>
    ${
      row &&
      html`<${Detail} state=${state} row=${row} change=${change} include=${include} exclude=${exclude}
      addColumn=${(path) => !state.columns.includes(path) && change({ columns: [...state.columns, path] })}
      close=${close}
      move=${move} pinned=${pinned} changed=${repin} checked=${checked} />`
    }
    ${
      gone &&
      html`<aside class="detail" aria-label=${t.detail.title}><header><h2></h2>
      <button class="icon" title=${t.close} aria-label=${t.close} onClick=${close}>✕</button></header>
      <p class="notice">${t.detail.gone}</p></aside>`
    }
    ${
      handing &&
      html`<${HandOver} state=${state} summary=${results.busy ? null : summary} logs=${logs}
      close=${() => setHanding(false)} />`
    }
  </div>`;
}

function heading({ problem, busy, summary, counting }) {
  if (problem || counting) return t.list.failed;
  return summary && !busy ? t.list.total(summary.total) : t.loading;
}
