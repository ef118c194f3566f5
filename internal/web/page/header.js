import { html, useState } from './html.js';
import { t } from './text.js';
import * as time from './time.js';
import { usualColumns } from './state.js';
import { splitPath } from './event.js';
import { visible } from './visible.js';
import { logName } from './panels.js';

function Account({ who, state, signOut }) {
  return html`<details class="menu"><summary title=${t.user.menu}><bdi>${visible(who.name)}</bdi></summary>
    <div class="sheet">
      <p class="small"><b><bdi>${visible(who.name)}</bdi></b><br /><span class="quiet">${who.kind}<br />${
        who.issuer
          ? html`<bdi>${visible(who.issuer)}</bdi><br /><code>${visible(who.subject)}</code>`
          : html`<code>${who.credentialId}</code>`
      }</span></p>
      ${
        who.expiresAt &&
        html`<p class="quiet small">${t.user.until(
          time.dateTime(Date.parse(who.expiresAt), state.zone, false) + ' ' + time.zoneName(state.zone),
        )}</p>`
      }
      <button onClick=${() => signOut(false)}>${t.user.signOut}</button>
      <button onClick=${() => signOut(true)}>${t.user.everywhere}</button>
    </div></details>`;
}

// Header says where one is: which project, which logs, and who.
export function Header({ state, who, projects, logs, change, signOut, show }) {
  const known = projects?.some((p) => p.id === state.project);
  const chosen = state.logs.length > 1 ? 'several' : (state.logs[0] ?? '');
  return html`<header class="top">
    <a class="home" href="/" aria-label=${t.weir}><img src="/web/icon.svg" alt="" width="24" height="24" /></a>
    <label><span class="hidden">${t.project}</span>
      <select value=${state.project} onChange=${(e) => change({ project: e.target.value, logs: [], event: '' })}>
        ${!known && html`<option value=${state.project}>${state.project || t.loading}</option>`}
        ${projects?.map((p) => html`<option key=${p.id} value=${p.id}>${visible(p.name)}</option>`)}
      </select></label>
    ${
      !state.view &&
      html`<label><span class="hidden">${t.logs}</span>
      <select value=${chosen} onChange=${(e) => change({ logs: e.target.value ? [e.target.value] : [], event: '' })}>
        <option value="">${t.allLogs}</option>
        ${chosen === 'several' && html`<option value="several">${t.someLogs(state.logs.length)}</option>`}
        ${logs.map((l) => html`<option key=${l.logId} value=${l.logId}>${logName(l)}</option>`)}
      </select></label>`
    }
    <button onClick=${() => show('logs')}>${t.logPanel.button}</button>
    ${['overview', 'manage'].map(
      (view) => html`<button key=${view} data-view=${view} aria-pressed=${state.view === view}
      onClick=${() => change({ view: state.view === view ? '' : view, event: '', live: '' })}
      >${t[view].button}</button>`,
    )}
    <span class="space"></span>
    <button class="icon help-button" title=${t.query.help} aria-label=${t.query.help}
        onClick=${() => show('help')}>?</button>
    <${Account} who=${who} state=${state} signOut=${signOut} />
  </header>`;
}

const columnName = (c) => (Object.hasOwn(t.list.columns, c) ? t.list.columns[c] : visible(c));

// Columns is the head of the list, where columns are moved, left out and added.
export function Columns({ state, change }) {
  const [adding, setAdding] = useState(false);
  const set = (columns) => change({ columns: columns.length ? columns : usualColumns });
  const missing = Object.keys(t.list.columns).filter((c) => !state.columns.includes(c));
  const add = (e) => {
    e.preventDefault();
    const { field } = e.target.elements;
    const name = field.value.trim();
    if (name && !splitPath(name)) {
      field.setCustomValidity(t.list.noField);
      field.reportValidity();
      return;
    }
    if (name && !state.columns.includes(name)) set([...state.columns, name]);
    setAdding(false);
  };
  return html`<div class="head" role="rowgroup"><div class="row-head" role="row">${state.columns.map(
    (c, i) =>
      html`<span key=${c} class="cell" role="columnheader"><bdi>${columnName(c)}</bdi>
      <span class="actions">
        ${
          i > 0 &&
          html`<button title=${t.list.left(c)} aria-label=${t.list.left(c)} onClick=${() =>
            set(state.columns.with(i - 1, c).with(i, state.columns[i - 1]))}>←</button>`
        }
        <button title=${t.list.remove(c)} aria-label=${t.list.remove(c)} onClick=${() =>
          set(state.columns.filter((one) => one !== c))}>✕</button></span></span>`,
  )}
      <span class="add" role="columnheader"><button class="icon" title=${t.list.add} aria-label=${t.list.add}
        aria-expanded=${adding} onClick=${() => setAdding(!adding)}>+</button></span></div>
    ${
      adding &&
      html`<form class="sheet" onSubmit=${add}>
      <input name="field" list="columns" aria-label=${t.list.add} placeholder=${t.list.example} spellcheck=${false}
        onInput=${(e) => e.target.setCustomValidity('')} />
      <datalist id="columns">${missing.map((c) => html`<option value=${c} />`)}</datalist>
      <button>${t.list.add}</button></form>`
    }
  </div>`;
}
