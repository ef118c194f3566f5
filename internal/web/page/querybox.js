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
  const [fields, setFields] = useState([]);
  const [at, setAt] = useState(null); // the word that suggestions are shown for; null: none are shown
  const [chosen, setChosen] = useState(null); // the text of the suggestion that the keys are on
  const asked = useRef(''); // the key of the fields that have come or will
  const blurred = useRef(0);
  useEffect(() => {
    setText(state.q);
    close();
  }, [state.q]);
  // Fields and values may come while somebody types. What is chosen then stays so.
  const all = suggest(at, fields, summary);
  const shown = all.length === 1 && all[0].text === at.text ? [] : all;
  const on = shown.findIndex((one) => one.text === chosen);
  const look = (value, cursor) => {
    setAt(atCursor(value, cursor));
    setChosen(null);
  };
  const close = () => setAt(null);
  const key = JSON.stringify([state.project, question(state)]);
  const load = async () => {
    if (asked.current === key || !state.project) return;
    asked.current = key;
    try {
      const got = await api.fields(state.project, question(state));
      if (asked.current === key) setFields(got.fields);
    } catch {
      if (asked.current === key) asked.current = ''; // A query that is wrong has no fields to suggest.
    }
  };
  const typed = (e) => {
    const { value, selectionStart } = e.target;
    setText(value);
    look(value, selectionStart);
    load();
  };
  const accept = (one) => {
    const next =
      text.slice(0, at.from) + one.text + (one.more ? '' : ' ') + text.slice(at.to).replace(one.more ? /^:/ : /^ /, '');
    const cursor = at.from + one.text.length + (one.more ? 0 : 1);
    setText(next);
    input.current.value = next;
    input.current.focus();
    input.current.setSelectionRange(cursor, cursor);
    look(next, cursor);
  };
  const keys = (e) => {
    if (e.key === 'Escape') {
      if (shown.length) e.stopPropagation();
      else input.current.blur();
      close();
    } else if (shown.length && (e.key === 'ArrowDown' || e.key === 'ArrowUp')) {
      e.preventDefault();
      const n = shown.length,
        step = e.key === 'ArrowDown' ? 1 : -1;
      setChosen(shown[(on + step + n + (on < 0 && step < 0 ? 1 : 0)) % n].text);
    } else if (on >= 0 && (e.key === 'Enter' || e.key === 'Tab')) {
      e.preventDefault();
      accept(shown[on]);
    } else if (shown.length && e.key === 'Tab' && at.text) {
      e.preventDefault();
      accept(shown[0]);
    }
  };
  const submit = (e) => {
    e.preventDefault();
    clearTimeout(blurred.current);
    close();
    input.current.blur(); // The keys are the list's from now on.
    document.querySelector('.rows')?.focus({ preventScroll: true });
    run(text.trim());
  };
  const wrong = problem ? column(problem) : 0;
  const goTo = () => {
    input.current.focus();
    input.current.setSelectionRange(wrong - 1, wrong - 1);
  };
  useEffect(() => {
    if (wrong > 0) goTo();
  }, [problem]);
  return html`<form class="query" role="search" onSubmit=${submit}>
    <div class="box">
      <input ref=${input} value=${text} onInput=${typed} onKeyDown=${keys} onClick=${close}
        onBlur=${() => {
          blurred.current = setTimeout(close, 150);
        }}
        aria-label=${t.query.label} placeholder=${t.query.placeholder} spellcheck=${false} autocapitalize="none"
        autocomplete="off" autocorrect="off" maxlength="4096" role="combobox" aria-autocomplete="list"
        aria-expanded=${shown.length > 0} aria-controls="suggestions"
        aria-activedescendant=${on >= 0 ? 'suggestion-' + on : undefined}
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
          aria-label=${at?.field ? t.query.values : t.query.fields} hidden=${!shown.length}>
        ${shown.map(
          (one, i) => html`<li key=${one.text} id=${'suggestion-' + i} role="option"
          aria-selected=${i === on} class=${i === on ? 'chosen' : ''}
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
        wrong > 0 &&
        html`<pre aria-hidden="true">${text.slice(Math.max(0, wrong - 41), wrong - 1)}<mark>${
          text.slice(wrong - 1, wrong) || ' '
        }</mark>${text.slice(wrong, wrong + 40)}</pre>`
      }
      ${problem}</div>`
    }
  </form>`;
}
