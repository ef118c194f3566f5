import { html, useState, useRef, useEffect } from './html.js';
import { t } from './text.js';
import * as time from './time.js';
import { usualFrom } from './state.js';

// Range chooses the time: relative to now, or between two times; and the zone in which times are shown.
export function Range({ state, change }) {
  const relative = !state.to && t.range.relative.some(([from]) => from === state.from);
  const [custom, setCustom] = useState(!relative);
  const from = useRef(null),
    to = useRef(null);
  useEffect(() => setCustom(!relative), [state.from, state.to]);
  const pick = (e) => {
    if (e.target.value === 'custom') setCustom(true);
    else change({ from: e.target.value, to: '', event: '' });
  };
  const submit = (e) => {
    e.preventDefault();
    change({
      from: time.inZone(from.current.value.trim(), state.zone, false) || usualFrom,
      to: time.inZone(to.current.value.trim().replace(/^now$/, ''), state.zone, true),
      event: '',
    });
  };
  const zone = time.zoneName(state.zone) + (state.zone === 'local' ? ' ' + time.offset(Date.now(), 'local') : '');
  return html`<div class="range">
    <label><span class="hidden">${t.range.label}</span>
      <select value=${custom ? 'custom' : state.from} onChange=${pick}>
        ${t.range.relative.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}
        <option value="custom">${t.range.custom}</option>
      </select></label>
    ${
      custom &&
      html`<form class="together" onSubmit=${submit} title=${t.range.hint(time.zoneName(state.zone))}>
      <input ref=${from} defaultValue=${state.from} key=${'f' + state.from} aria-label=${t.range.from}
          spellcheck=${false} maxlength="60" />
      <span aria-hidden="true">–</span>
      <input ref=${to} defaultValue=${state.to} key=${'t' + state.to} aria-label=${t.range.to}
          placeholder=${t.range.now} spellcheck=${false} maxlength="60" />
      <button>${t.range.set}</button></form>`
    }
    <button class="zone" title=${t.range.zone} aria-label=${t.range.zone + ': ' + zone} onClick=${() =>
      change({ zone: state.zone === 'utc' ? 'local' : 'utc' })}>${zone}</button>
  </div>`;
}
