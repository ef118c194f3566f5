import { html, useState, useEffect } from './html.js';
import { t, number } from './text.js';
import * as api from './api.js';
import * as time from './time.js';
import * as proof from './proof.js';
import { question, write } from './state.js';
import { add } from './query.js';
import { visible } from './visible.js';
import { Copy } from './copy.js';
import { Dialog } from './dialog.js';
import { Key } from './detail.js';

// logName returns how people call a log.
export const logName = (l) =>
  [l.workspaceName, t.logPanel.kinds[l.kind] ?? l.kind].filter(Boolean).map(visible).join(': ');

const units = ['B', 'KB', 'MB', 'GB', 'TB'];

function size(n) {
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

// Signed shows the last checkpoint of a log, and who has signed it.
function Signed({ project, log, pinned }) {
  const [state, setState] = useState({});
  useEffect(() => {
    let gone = false;
    const look = async () => {
      const text = await api.checkpoint(project, log);
      const c = proof.parseCheckpoint(text);
      let verdict = 'unverified';
      if (pinned)
        verdict = await proof.verifyCheckpoint(text, log, pinned).then(
          () => 'verified',
          () => 'wrong',
        );
      return { c, verdict };
    };
    look().then(
      (s) => gone || setState(s),
      (e) =>
        gone ||
        setState({
          failed:
            e.status === 404 ? t.logPanel.empty : e instanceof proof.Wrong ? t.proof.reasons[e.message] : t.failed,
        }),
    );
    return () => {
      gone = true;
    };
  }, [project, log, pinned?.text]);
  if (state.failed) return html`<span class="quiet">${state.failed}</span>`;
  if (!state.c) return html`<span class="quiet">…</span>`;
  const witnesses = [...new Set(state.c.signatures.map((s) => s.name))].filter((n) => n !== state.c.origin);
  return html`${t.logPanel.entries(state.c.size)}, <span
      class=${'verdict ' + state.verdict}>${t.logPanel[state.verdict]}</span>
    <br /><span class="quiet small">${
      witnesses.length
        ? html`${t.logPanel.witnesses} <bdi>${witnesses.map(visible).join(', ')}</bdi>`
        : t.logPanel.unwitnessed
    }</span>`;
}

// LogPanel shows the logs of a project: how large they are, what is signed, what is kept.
export function LogPanel({ state, logs, pinned, changed, only, close }) {
  const [settings, setSettings] = useState(null);
  useEffect(() => {
    api.settings(state.project).then(setSettings, () => {});
  }, [state.project]);
  return html`<${Dialog} title=${t.logPanel.title} close=${close} wide>
    ${
      settings &&
      html`<p>${settings.legalHold && html`<b>${t.logPanel.hold} </b>`}
      ${settings.retentionDays ? t.logPanel.days(settings.retentionDays) : t.logPanel.forever}</p>`
    }
    <div class="logs">${logs.map(
      (l) => html`<section key=${l.logId}>
      <h3><bdi>${logName(l)}</bdi></h3>
      ${l.state === 'deleted' && html`<p class="notice small">${t.logPanel.deleted(l.daysLeft)}</p>`}
      <dl>
        <dt>${t.logPanel.events}</dt><dd>${number(l.events)} <span class="quiet">${size(l.sizeBytes)}</span></dd>
        ${
          l.firstEvent &&
          html`<dt>${t.logPanel.range}</dt><dd>${time.dateTime(Date.parse(l.firstEvent), state.zone, false)}
          <br />${time.dateTime(Date.parse(l.lastEvent), state.zone, false)} ${time.zoneName(state.zone)}</dd>`
        }
        <dt>${t.logPanel.signed}</dt><dd><${Signed} project=${state.project} log=${l.logId} pinned=${pinned} /></dd>
        ${
          (l.removedEvents > 0 || l.retention?.overdueEvents > 0) &&
          html`<dt>${t.logPanel.retention}</dt>
          <dd>${l.removedEvents > 0 && html`${t.logPanel.removed(l.removedEvents)}<br />`}
            ${l.retention?.overdueEvents > 0 && t.logPanel.overdue(l.retention.overdueEvents, l.retention.why)}</dd>`
        }
      </dl>
      <p class="small"><code>${l.logId}</code></p>
      <button onClick=${() => {
        only(l.logId);
        close();
      }}>${t.logPanel.only}</button>
    </section>`,
    )}</div>
    <${Key} pinned=${pinned} changed=${changed} />
  <//>`;
}

// quote writes a text as a word of a shell.
const quote = (text) => (/^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

// commands returns what gives the events of a summary elsewhere: all of them, the oldest first. Their times are those
// of the range that was answered, since programs read times in other ways than the page does, and at another time.
function commands(state, { startDate, endDate }) {
  const words = ['weir', 'search', '--project', state.project, '--oldest', '--all'];
  for (const log of state.logs) words.push('--log', log);
  // The command takes whole seconds, the last one included. The query says what is missing to the millisecond.
  const [start, end] = [Date.parse(startDate), Date.parse(endDate)];
  const exact = (ms) => new Date(ms).toISOString();
  const second = (ms) => exact(ms - (ms % 1000)).replace('.000', '');
  words.push('--start', second(start), '--end', second(end));
  let { q } = state;
  if (start % 1000 !== 0) q = add(q, 'time >= ' + exact(start));
  if (end % 1000 !== 999) q = add(q, 'time <= ' + exact(end));
  words.push('--', q || '*'); // A query may begin with '-'.
  const asked = { ...question(state), startDate: exact(start), endDate: exact(end), format: 'ndjson' };
  const address = location.origin + api.address(api.group(state.project) + '/events:export', asked, '/api');
  return { curl: `curl -fsS -H "Authorization: Bearer $TOKEN" ${quote(address)}`, weir: words.map(quote).join(' ') };
}

// HandOver gives what is shown to others: as a file, as commands, as a link.
export function HandOver({ state, summary, logs, close }) {
  const said = summary ? commands(state, summary) : {};
  const shown = { ...state, from: summary?.startDate ?? state.from, to: summary?.endDate ?? state.to };
  return html`<${Dialog} title=${t.hand.title} close=${close}>
    <p>${t.hand.note(summary?.total)}</p>
    <div class="together exports">${['csv', 'parquet', 'ndjson'].map(
      (format) => html`
      <a class="button primary" download
          href=${api.exportAddress(state.project, question(state), format)}>${t.hand[format]}</a>`,
    )}
    </div>
    ${
      summary &&
      html`<h3>${t.hand.whole}</h3><p class="small">${t.hand.wholeNote}</p>
      <ul class="files">${logs
        .filter((l) => !state.logs.length || state.logs.includes(l.logId))
        .map(
          (l) => html`<li key=${l.logId}>
        <a class="button" download
            href=${api.fileAddress(state.project, l.logId, Date.parse(summary.startDate), Date.parse(summary.endDate))}>
          <bdi>${logName(l)}</bdi></a></li>`,
        )}</ul>`
    }
    ${[
      ['link', location.origin + write(shown)],
      ['weir', said.weir],
      ['curl', said.curl],
    ]
      .filter(([, text]) => text)
      .map(
        ([name, text]) => html`
      <h3>${t.hand[name]}</h3>
      ${t.hand.notes[name] && html`<p class="small">${t.hand.notes[name](location.origin)}</p>`}
      <div class="together command"><pre tabindex="0">${visible(text)}</pre><${Copy} text=${() => text}
          label=${t.hand.copy} /></div>`,
      )}
  <//>`;
}

// Help shows the keys, and queries to learn from.
export function Help({ close, use }) {
  return html`<${Dialog} title=${t.query.help} close=${close} wide>
    <div class="help">
      <section><h3>${t.keys.title}</h3>
        <dl>${t.keys.list.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl></section>
      <section><h3>${t.help.title}</h3>
        <dl class="queries">${t.help.list.map(
          ([q, what]) => html`
          <dt><button class="link" onClick=${() => {
            use(q);
            close();
          }}><code>${q}</code></button></dt><dd>${what}</dd>`,
        )}
        </dl></section>
    </div>
  <//>`;
}
