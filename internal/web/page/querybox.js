import { html, useState, useEffect, useRef } from './html.js';
import { t, number } from './text.js';
import * as api from './api.js';
import { question } from './state.js';
import { visible } from './visible.js';
import { atCursor, column } from './query.js';

const most = 12; // suggestions

// suggest returns what could stand at the cursor: fields, or values of the field that stands before it.
function suggest(at, fields, summary) {
  if (!at) return [];
  const wanted = at.text.toLowerCase();
  if (at.field === null) {
    return fields
      .filter((f) => f.field.toLowerCase().includes(wanted))
      .sort(
        (a, b) =>
          rank(a.field, wanted) - rank(b.field, wanted) ||
          (b.alias ?? false) - (a.alias ?? false) ||
          b.events - a.events,
      )
      .slice(0, most)
      .map((f) => ({ text: f.field + ':', shown: f.field, note: number(f.events), more: true }));
  }
  const facet = summary?.facets?.find((f) => f.field === at.field)?.values?.map((v) => v.value) ?? [];
  const examples = fields.find((f) => f.field === at.field)?.examples ?? [];
  return [...new Set([...facet, ...examples])]
    .filter((v) => String(v).toLowerCase().includes(wanted))
    .slice(0, most)
    .map((v) => ({ text: plain(v), shown: visible(v), note: '', more: false }));
}

const rank = (name, wanted) => (name.toLowerCase().startsWith(wanted) ? 0 : 1);

const plain = (v) =>
  typeof v !== 'string' || (/^[\p{L}\p{N}_.@-]+$/u.test(v) && !v.startsWith('-') && !/^(and|or|not|now.*)$/i.test(v))
    ? String(v)
    : JSON.stringify(v);

// QueryBox is where a query is typed. An error is shown at its column.
export function QueryBox({ state, summary, run, problem, input }) {
  const [text, setText] = useState(state.q);
  const [fields, setFields] = useState({ key: '', all: [] });
  const [shown, setShown] = useState(null); // {at, list, chosen}
  const blurred = useRef(0);
  useEffect(() => {
    setText(state.q);
    setShown(null);
  }, [state.q]);
  const key = JSON.stringify([state.project, question(state)]);
  const look = (value, cursor, all) => {
    const at = atCursor(value, cursor);
    const list = suggest(at, all, summary);
    const done = list.length === 1 && list[0].text === at?.text;
    setShown(list.length && !done ? { at, list, chosen: -1 } : null);
  };
  const load = async () => {
    if (fields.key === key || !state.project) return fields.all;
    try {
      const got = await api.fields(state.project, question(state));
      setFields({ key, all: got.fields });
      return got.fields;
    } catch {
      return fields.all; // a query that is wrong has no fields to suggest
    }
  };
  const typed = async (e) => {
    const { value, selectionStart } = e.target;
    setText(value);
    look(value, selectionStart, fields.all);
    if (fields.key !== key) {
      const all = await load();
      if (input.current === document.activeElement) look(input.current.value, input.current.selectionStart, all);
    }
  };
  const accept = (one) => {
    const { at } = shown;
    const next =
      text.slice(0, at.from) + one.text + (one.more ? '' : ' ') + text.slice(at.to).replace(one.more ? /^:/ : /^ /, '');
    const cursor = at.from + one.text.length + (one.more ? 0 : 1);
    setText(next);
    input.current.value = next;
    input.current.focus();
    input.current.setSelectionRange(cursor, cursor);
    look(next, cursor, fields.all);
  };
  const keys = (e) => {
    if (e.key === 'Escape') {
      if (shown) e.stopPropagation();
      else input.current.blur();
      setShown(null);
    } else if (shown && (e.key === 'ArrowDown' || e.key === 'ArrowUp')) {
      e.preventDefault();
      const n = shown.list.length,
        step = e.key === 'ArrowDown' ? 1 : -1;
      setShown({ ...shown, chosen: (shown.chosen + step + n + (shown.chosen < 0 && step < 0 ? 1 : 0)) % n });
    } else if (shown && shown.chosen >= 0 && (e.key === 'Enter' || e.key === 'Tab')) {
      e.preventDefault();
      accept(shown.list[shown.chosen]);
    } else if (shown && e.key === 'Tab' && shown.at.text) {
      e.preventDefault();
      accept(shown.list[0]);
    }
  };
  const submit = (e) => {
    e.preventDefault();
    clearTimeout(blurred.current);
    setShown(null);
    input.current.blur(); // The keys are the list's from now on.
    document.querySelector('.rows')?.focus({ preventScroll: true });
    run(text.trim());
  };
  const at = problem ? column(problem) : 0;
  const goTo = () => {
    input.current.focus();
    input.current.setSelectionRange(at - 1, at - 1);
  };
  useEffect(() => {
    if (at > 0) goTo();
  }, [problem]);
  return html`<form class="query" role="search" onSubmit=${submit}>
    <div class="box">
      <input ref=${input} value=${text} onInput=${typed} onKeyDown=${keys} onClick=${() => setShown(null)}
        onBlur=${() => {
          blurred.current = setTimeout(() => setShown(null), 150);
        }}
        aria-label=${t.query.label} placeholder=${t.query.placeholder} spellcheck=${false} autocapitalize="none"
        autocomplete="off" autocorrect="off" maxlength="4096" role="combobox" aria-autocomplete="list"
        aria-expanded=${Boolean(shown)} aria-controls="suggestions"
        aria-activedescendant=${shown?.chosen >= 0 ? 'suggestion-' + shown.chosen : undefined}
        aria-invalid=${Boolean(problem)} />
      ${
        text &&
        html`<button type="button" class="icon clear" title=${t.query.clear} aria-label=${t.query.clear}
        onClick=${() => {
          setText('');
          run('');
          input.current.focus();
        }}>✕</button>`
      }
      <ul id="suggestions" class="suggestions" role="listbox"
          aria-label=${shown?.at.field ? t.query.values : t.query.fields} hidden=${!shown}>
        ${shown?.list.map(
          (one, i) => html`<li key=${one.text} id=${'suggestion-' + i} role="option"
          aria-selected=${i === shown.chosen} class=${i === shown.chosen ? 'chosen' : ''}
          onPointerDown=${(e) => {
            e.preventDefault();
            accept(one);
          }}><bdi>${one.shown}</bdi>
          <span class="quiet">${one.note}</span></li>`,
        )}</ul>
    </div>
    <button class="primary">${t.query.search}</button>
    ${
      problem &&
      html`<div class="query-problem" role="alert" onClick=${goTo}>
      ${
        at > 0 &&
        html`<pre aria-hidden="true">${text.slice(Math.max(0, at - 41), at - 1)}<mark>${
          text.slice(at - 1, at) || ' '
        }</mark>${text.slice(at, at + 40)}</pre>`
      }
      ${problem}</div>`
    }
  </form>`;
}
