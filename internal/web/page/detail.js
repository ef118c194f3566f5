import { html, useState, useEffect, useRef, useMemo } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import * as time from './time.js';
import * as proof from './proof.js';
import { visible } from './visible.js';
import { sentence, rows, mostRows, first, indented } from './event.js';
import { term } from './query.js';
import { Copy } from './copy.js';

const longest = 4000; // characters of a value in the tree

export function Sentence({ event }) {
  return html`<p class="sentence">${sentence(event).map((part) =>
    typeof part === 'string' ? part : html`<b><bdi>${visible(part.value).slice(0, 300)}</bdi></b>`,
  )}</p>`;
}

function Tree({ event, zone, include, exclude, addColumn }) {
  const all = useMemo(() => rows(event), [event]);
  return html`<ul class="tree">${all.map((r, i) => {
    const scalar = r.value !== undefined && r.value !== null && typeof r.value !== 'object';
    const isTime = scalar && typeof r.value === 'number' && /(^|_)(time|taken)$/.test(r.name) && r.value > 1e11;
    const text = scalar ? visible(r.value) : r.value === null ? 'null' : '';
    return html`<li key=${i} class=${'depth-' + Math.min(r.depth, 8)}>
      <span class="name" title=${visible(r.path)}><bdi>${visible(r.name)}</bdi></span>
      ${
        scalar || r.value === null
          ? html`<span class="value">
        <bdi>${text.slice(0, longest)}${text.length > longest ? '…' : ''}</bdi>
        ${isTime && html` <span class="quiet">${time.dateTime(r.value, zone)}</span>`}</span>`
          : r.value !== undefined && html`<span class="value quiet">${Array.isArray(r.value) ? '[]' : '{}'}</span>`
      }
      ${
        scalar &&
        text.length <= 1000 &&
        html`<span class="actions">
        <button title=${t.detail.include(r.path)} aria-label=${t.detail.include(r.path)}
          onClick=${() => include(term(r.path, r.value))}>+</button>
        <button title=${t.detail.exclude(r.path)} aria-label=${t.detail.exclude(r.path)}
          onClick=${() => exclude(term(r.path, r.value))}>−</button>
        <button title=${t.detail.exists(r.path)} aria-label=${t.detail.exists(r.path)}
          onClick=${() => addColumn(r.path)}>▤</button></span>`
      }
    </li>`;
  })}</ul>
  ${all.length >= mostRows && html`<p class="notice small">${t.detail.more(mostRows)}</p>`}`;
}

// Key asks for the public key that is to be trusted, and pins it in this browser.
export function Key({ pinned, changed }) {
  const [bad, setBad] = useState(false);
  const input = useRef(null);
  if (pinned) {
    return html`<p class="quiet small key-line"><bdi>${t.proof.pinned(pinned.name)}</bdi>
      <button class="link" onClick=${() => {
        proof.pin(null);
        changed();
      }}>${t.proof.unpin}</button></p>`;
  }
  const submit = (e) => {
    e.preventDefault();
    const key = proof.parseKey(input.current.value);
    setBad(!key);
    if (key) {
      proof.pin(key.text);
      changed();
    }
  };
  return html`<form class="pin" onSubmit=${submit}>
    <p class="small">${t.proof.noKey}</p>
    <div class="together"><input ref=${input} aria-label=${t.proof.key} placeholder=${t.proof.example}
      spellcheck=${false} maxlength="300" required /><button>${t.proof.pin}</button></div>
    ${bad && html`<p class="problem" role="alert">${t.proof.badKey}</p>`}
  </form>`;
}

function Proof({ state, row, pinned, changed, checked }) {
  const [result, setResult] = useState(null);
  useEffect(() => setResult(null), [row.log, row.index, pinned?.text]);
  const check = async () => {
    setResult({ kind: 'busy', text: t.proof.checking });
    try {
      if (!(await proof.supported())) throw new Error(t.proof.unsupported);
      const p = await api.prove(state.project, row.log, row.index);
      const c = await proof.verifyEntry(row.line, row.log, row.index, p, pinned);
      setResult({ kind: 'verified', text: t.proof.verified(c.size) });
    } catch (e) {
      if (e instanceof proof.Wrong) setResult({ kind: 'wrong', text: t.proof.reasons[e.message] });
      else setResult({ kind: 'failed', text: e.status === 404 ? t.proof.later : e.message || t.failed });
    }
  };
  useEffect(() => {
    if (checked > 0 && pinned && row.index !== null) check();
  }, [checked]);
  if (row.index === null) return html`<p class="proof-state waiting">${t.proof.waiting}</p>`;
  return html`<div>
    <p class="small"><b>${t.proof.entry(row.index)}</b> ${t.proof.ofLog} <code>${row.log}</code></p>
    ${pinned && !result && html`<button class="primary" onClick=${check}>${t.proof.check} <kbd>v</kbd></button>`}
    ${
      result &&
      html`<p class=${'proof-state ' + result.kind} role="status">
      ${result.kind === 'wrong' && html`<b>${t.proof.wrong}: </b>`}${result.text}</p>`
    }
    ${result?.kind === 'failed' && html`<button onClick=${check}>${t.retry}</button>`}
    <${Key} pinned=${pinned} changed=${changed} />
  </div>`;
}

// Detail shows an event: what happened, whether it is proven, its fields, its bytes.
export function Detail({ state, row, change, include, exclude, addColumn, close, move, pinned, changed, checked }) {
  const [tab, setTab] = useState('tree');
  const who = first(row.event, 'who'),
    from = first(row.event, 'from'),
    session = first(row.event, 'session');
  const at = row.event.time;
  const pretty = useMemo(() => indented(row.line).split('\n').map(visible).join('\n'), [row]);
  const alone = (q) => change({ q, event: '', live: '' }); // They are among what was recorded.
  return html`<aside class="detail" aria-label=${t.detail.title}>
    <header>
      <h2>${time.dateTime(at, state.zone)} <span class="quiet">${time.offset(at, state.zone)}</span></h2>
      <button class="icon" title=${t.detail.previous} aria-label=${t.detail.previous}
          onClick=${() => move(-1)}>↑</button>
      <button class="icon" title=${t.detail.next} aria-label=${t.detail.next} onClick=${() => move(1)}>↓</button>
      <button class="icon" title=${t.close} aria-label=${t.close} onClick=${close}>✕</button>
    </header>
    <div class="scroll" tabindex="0">
      <${Sentence} event=${row.event} />
      <div class="neighbours">
        ${who && html`<button onClick=${() => alone(term('who', who.value))}>${t.detail.sameWho}</button>`}
        ${
          session &&
          html`<button
            onClick=${() => alone(term(session.path, session.value))}>${t.detail.sameSession}</button>`
        }
        ${from && html`<button onClick=${() => alone(term('from', from.value))}>${t.detail.sameFrom}</button>`}
        <button onClick=${() =>
          change({
            q: '',
            from: new Date(at - 60e3).toISOString(),
            to: new Date(at + 60e3).toISOString(),
          })}>${t.detail.around}</button>
        <${Copy} text=${() => location.href} label=${t.detail.copyLink} />
        <${Copy} text=${() => row.line} label=${t.detail.copyJSON} />
      </div>
      <section class="proof"><h3>${t.proof.title}</h3>
        <${Proof} state=${state} row=${row} pinned=${pinned} changed=${changed} checked=${checked} /></section>
      <div class="tabs" role="tablist">
        <button role="tab" aria-selected=${tab === 'tree'} onClick=${() => setTab('tree')}>${t.detail.tree}</button>
        <button role="tab" aria-selected=${tab === 'raw'} onClick=${() => setTab('raw')}>${t.detail.raw}</button>
      </div>
      ${
        tab === 'tree'
          ? html`<${Tree} event=${row.event} zone=${state.zone} include=${include} exclude=${exclude}
        addColumn=${addColumn} />`
          : html`<pre class="raw">${pretty}</pre>`
      }
    </div>
  </aside>`;
}
