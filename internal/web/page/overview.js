// The overview of a project: what weir does for it, who and what addresses are new, and what happened in each
// workspace.
import { html, useState, useEffect, useMemo } from './html.js';
import { t, number } from './text.js';
import * as api from './api.js';
import * as time from './time.js';
import { term, ownReads } from './query.js';
import { visible } from './visible.js';
import { said } from './place.js';
import { logName } from './panels.js';
import { Header } from './header.js';
import { Sentence } from './detail.js';
import { queue, useAnswer } from './answer.js';
import { Watched } from './watched.js';

const days = 30; // that are looked at, the present one among them
const atOnce = 12; // workspaces that are asked about before somebody wants more
const compared = 1000; // values of a field; where there are more, none is called new
const shown = 20; // new values of a field

// firstDay returns when the days that are looked at begin in the chosen zone.
function firstDay(zone) {
  const d = new Date();
  if (zone === 'local') {
    d.setHours(0, 0, 0, 0);
    d.setDate(d.getDate() - days + 1);
  } else {
    d.setUTCHours(0, 0, 0, 0);
    d.setUTCDate(d.getUTCDate() - days + 1);
  }
  return d.toISOString();
}

// workspacesOf returns what of the logs is looked at together: those of each workspace, and the project's own.
function workspacesOf(logs) {
  const all = new Map();
  for (const l of logs.filter((one) => one.state !== 'deleted')) {
    const key = l.workspaceId ?? l.logId;
    const known = all.get(key) ?? { key, name: l.workspaceName ? visible(l.workspaceName) : logName(l), logs: [] };
    known.logs.push(l.logId);
    all.set(key, known);
  }
  return [...all.values()].sort((a, b) => Number(a.logs[0] === a.key) - Number(b.logs[0] === b.key));
}

const inTurn = queue();

// lookAt asks for the last event of logs, and how many there were on each day. Both are one question.
async function lookAt(state, logs, since, signal) {
  const question = { q: ownReads, startDate: since, log: logs };
  api.forget();
  const { rows } = await api.events(state.project, question, { order: 'newest', limit: 1 }, signal);
  const summary = await api.summary(
    state.project,
    question,
    { buckets: days + 2, timeZone: time.zoneName(state.zone), split: 'outcome' },
    signal,
  );
  return { last: rows[0]?.event, summary };
}

// lookForNew compares the values of the last day with those of the days before: [{field, values, unknown}].
async function lookForNew(state, since, signal) {
  const ask = (question) =>
    api.summary(state.project, question, { facets: 'who,from', top: compared, buckets: 1 }, signal);
  api.forget();
  const today = await ask({ startDate: 'now-24h' });
  const past = await ask({ startDate: since, endDate: new Date(Date.parse(today.startDate) - 1).toISOString() });
  return today.facets.map((f) => {
    const old = past.facets.find((one) => one.field === f.field);
    const known = new Set((old.values ?? []).map((v) => v.value));
    return {
      field: f.field,
      values: (f.values ?? []).filter((v) => !known.has(v.value)),
      unknown: [f, old].some((one) => one.tooManyValues || one.other > 0),
    };
  });
}

// dayOf returns the day of a time that the API, or this page, has written.
const dayOf = (text, zone) => time.dateTime(Date.parse(text), zone, false).slice(0, 10);

// Days draws how many events there were on each day, those that failed apart.
function Days({ summary, zone }) {
  const bars = summary?.histogram ?? [];
  const most = Math.max(1, ...bars.map((b) => b.count)),
    width = 300 / Math.max(1, bars.length);
  const high = (n) => (n ? Math.max(1.5, (n / most) * 40) : 0);
  const failed = bars.reduce((n, b) => n + (b.failures ?? 0), 0);
  return html`<svg class="days" viewBox="0 0 300 41" preserveAspectRatio="none" role="img"
    aria-label=${summary ? t.overview.bars(summary.total, failed) : t.loading}>
    ${bars.map((b, i) => {
      const bad = Math.min(high(b.count), high(b.failures ?? 0));
      return html`<g key=${b.start}>
        <rect class="hit" x=${i * width} y="0" width=${width} height="40">
          <title>${t.overview.bar(dayOf(b.start, zone), b.count, b.failures)}</title></rect>
        <rect class="good" x=${i * width + 1} y=${40 - high(b.count)} width=${width - 2}
            height=${high(b.count) - bad} />
        <rect class="bad" x=${i * width + 1} y=${40 - bad} width=${width - 2} height=${bad} />
      </g>`;
    })}
    <line x1="0" x2="300" y1="40.5" y2="40.5" class="axis" vector-effect="non-scaling-stroke" /></svg>
    <div class="ticks" aria-hidden="true">${[bars[0], bars.at(-1)].map(
      (b) => html`<span>${b ? dayOf(b.start, zone).slice(5) : '…'}</span>`,
    )}</div>`;
}

// Workspace shows what happened in a workspace, and leads to its events.
function Workspace({ state, of, since, turn, explore }) {
  const { answer, problem } = useAnswer(
    (signal) => lookAt(state, of.logs, since, signal),
    JSON.stringify([state.project, of.logs, since, turn]),
    inTurn,
  );
  const events = (q) => explore({ logs: of.logs, q, from: since });
  const failed = answer?.summary.histogram.reduce((n, b) => n + (b.failures ?? 0), 0);
  const last = answer?.last;
  return html`<section aria-busy=${!answer && !problem}>
    <h3><button class="link" onClick=${() => events(ownReads)}><bdi>${of.name}</bdi></button></h3>
    <${Days} summary=${answer?.summary} zone=${state.zone} />
    ${
      problem
        ? html`<p class="problem">${said(problem)}</p>`
        : html`<dl>
      <dt>${t.overview.events}</dt><dd>${answer ? number(answer.summary.total) : '…'}</dd>
      <dt>${t.overview.failures}</dt><dd>${
        failed
          ? html`<button class="link outcome-failure"
        onClick=${() => events(ownReads + ' outcome:failure')}>${number(failed)}</button>`
          : answer
            ? 0
            : '…'
      }</dd>
      <dt>${t.overview.last}</dt><dd>${
        last ? time.dateTime(Number(last.time), state.zone, false) : answer ? t.overview.never : '…'
      }</dd></dl>
      <div class="last">${last && html`<${Sentence} event=${last} />`}</div>`
    }
  </section>`;
}

// News shows which actors and addresses are new.
function News({ state, since, turn, explore }) {
  const { answer, problem } = useAnswer(
    (signal) => lookForNew(state, since, signal),
    JSON.stringify([state.project, since, turn]),
    inTurn,
  );
  const one = (f) => html`<section key=${f.field}><h3>${t.overview.fields[f.field]}</h3>
    ${
      f.unknown
        ? html`<p class="quiet">${t.overview.tooMany}</p>`
        : !f.values.length
          ? html`<p class="quiet">${t.overview.nobody}</p>`
          : html`<ul>${f.values.slice(0, shown).map(
              ({ value, count }) => html`<li key=${String(value)}>
        <button class="link" onClick=${() => explore({ logs: [], q: term(f.field, value), from: 'now-24h' })}>
          <bdi>${visible(value)}</bdi></button> <span class="quiet">${t.list.total(count)}</span></li>`,
            )}</ul>
      ${f.values.length > shown && html`<p class="quiet small">${t.overview.others(f.values.length - shown)}</p>`}`
    }
  </section>`;
  return html`<h2>${t.overview.new}</h2>
    <p class="quiet small">${t.overview.since(dayOf(since, state.zone))}</p>
    ${
      problem
        ? html`<p class="problem" role="alert">${said(problem)}</p>`
        : html`<div class="news" aria-busy=${!answer}>${(answer ?? []).map(one)}${
            !answer &&
            html`<p
            class="quiet">${t.loading}</p>`
          }</div>`
    }`;
}

// Overview is where one keeps an eye on a project.
export function Overview({ who, state, change, projects, logs, listed, problem, show, signOut }) {
  const [wanted, setWanted] = useState(atOnce);
  const [turn, setTurn] = useState(0);
  const since = useMemo(() => firstDay(state.zone), [state.project, state.zone, turn]);
  const all = useMemo(() => workspacesOf(logs), [logs]);
  useEffect(() => setWanted(atOnce), [state.project]);
  const explore = (some) => change({ ...some, view: '', to: '', event: '' });
  const same = { state, since, turn, explore };
  const zone = time.zoneName(state.zone);
  return html`<div class="overview">
    <${Header} state=${state} who=${who} projects=${projects} logs=${logs} change=${change} signOut=${signOut}
        show=${show} />
    <main>
      <div class="bar"><h1>${t.overview.title}</h1>
        <button class="zone" title=${t.range.zone} aria-label=${t.range.zone + ': ' + zone}
          onClick=${() => change({ zone: state.zone === 'utc' ? 'local' : 'utc' })}>${zone}</button>
        <button class="icon" title=${t.list.refresh} aria-label=${t.list.refresh}
            onClick=${() => setTurn(turn + 1)}>⟳</button></div>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      ${
        state.project &&
        !problem &&
        html`<${Watched} state=${state} turn=${turn} change=${change} />
        <${News} ...${same} />`
      }
      <h2>${t.overview.workspaces}</h2>
      ${!all.length && !problem && html`<p class="quiet" role="status">${listed ? t.overview.empty : t.loading}</p>`}
      <div class="logs">${all.slice(0, wanted).map((w) => html`<${Workspace} key=${w.key} of=${w} ...${same} />`)}</div>
      ${
        all.length > wanted &&
        html`<p><button onClick=${() => setWanted(wanted + atOnce)}>
        ${t.overview.more(Math.min(atOnce, all.length - wanted))}</button></p>`
      }
      <p class="quiet small">${t.overview.note}</p>
    </main>
  </div>`;
}
