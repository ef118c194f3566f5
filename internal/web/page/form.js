// Forms: fields as a table says, the body that they make, and what the API found wrong with each.
import { html, useState } from './html.js';
import { t } from './text.js';
import { Problem } from './api.js';
import { said } from './place.js';

// at returns what an object has at a path such as atlas.baseUrl.
export const at = (o, path) => path.split('.').reduce((v, name) => v?.[name], o);

// put sets it.
function put(o, path, value) {
  const names = path.split('.'),
    last = names.pop();
  names.reduce((v, name) => (v[name] ??= {}), o)[last] = value;
}

const words = (text) => text.split(/[\s,]+/).filter(Boolean);
const parts = (text) =>
  text
    .split(',')
    .map((s) => s.trim())
    .filter(Boolean);

// kinds say how the value of a field is written for people, and read again. What reads as undefined was not given.
const kinds = {
  text: { write: (v) => v ?? '', read: (s) => s.trim() || undefined },
  secret: { write: () => '', read: (s) => s.trim() || undefined },
  long: { write: (v) => v ?? '', read: (s) => s.trim() || undefined },
  number: {
    write: (v) => (v === undefined || v === null ? '' : String(v)),
    read: (s) => (s.trim() ? Number(s) : undefined),
  },
  one: { write: (v) => v ?? '', read: (s) => s || undefined },
  flag: { write: Boolean, read: Boolean },
  many: {
    write: (v, f) => (v ?? []).map((one) => one.roleName ?? one).filter((one) => f.options.includes(one)),
    read: (list) => list,
  },
  words: {
    write: (v) => (v ?? []).join(', '),
    read: (s) => {
      const all = words(s);
      return all.length ? all : undefined;
    },
  },
  parts: {
    write: (v) => (v ?? []).join(', '),
    read: (s) => {
      const all = parts(s);
      return all.length ? all : undefined;
    },
  },
};

const kindOf = (f) => kinds[f.kind ?? 'text'];

// initial returns the values of a form that shows an item, or none.
export const initial = (fields, item) =>
  Object.fromEntries(fields.map((f) => [f.name, kindOf(f).write(item ? at(item, f.name) : f.usual, f)]));

// asked tells whether a field is asked for: some only make an item, some depend on what others say.
const asked = (f, values, item) => !(item && f.create) && (!f.only || f.only(values));

// bodyOf returns what a form says. Of a form that changes an item that is only what is different; what was taken away
// is as the field says.
export function bodyOf(fields, values, item) {
  const body = {};
  for (const f of fields) {
    if (!asked(f, values, item)) continue;
    const { write, read } = kindOf(f),
      value = read(values[f.name]);
    if (!item) {
      if (value !== undefined && !(f.kind === 'flag' && !value)) put(body, f.name, value);
    } else if (JSON.stringify(value) !== JSON.stringify(read(write(at(item, f.name), f)))) {
      put(body, f.name, value === undefined ? (f.none ?? null) : value);
    }
  }
  return body;
}

function Choices({ field, value, change, options }) {
  const toggle = (o) => change(value.includes(o) ? value.filter((v) => v !== o) : [...value, o]);
  return html`<fieldset><legend>${t.manage.names[field.name] ?? field.name}</legend>${options.map(
    (o) => html`<label class="choice">
    <input type="checkbox" checked=${value.includes(o)} onChange=${() => toggle(o)} />
    <span>${t.manage.options[o] ?? o}</span></label>`,
  )}</fieldset>`;
}

// Field asks for one value.
function Field({ field: f, item, value, change, wrong, place }) {
  const required = f.required && !(item && f.kind === 'secret'); // It stays if nothing is given.
  const id = 'field-' + f.name,
    hint = t.manage.hints[f.name];
  const options = typeof f.options === 'function' ? f.options(place) : f.options;
  const same = {
    id,
    name: f.name,
    'aria-invalid': wrong ? 'true' : undefined,
    required,
    'aria-describedby': wrong || hint ? id + '-about' : undefined,
  };
  const set = (e) => change(e.target.value);
  const about =
    (wrong || hint) &&
    html`<span id=${id + '-about'} class=${wrong ? 'problem small' : 'quiet small'}>${wrong || hint}</span>`;
  if (f.kind === 'many')
    return html`<div class="field"><${Choices} field=${f} value=${value} change=${change}
        options=${options} />${about}</div>`;
  if (f.kind === 'flag')
    return html`<div class="field"><label class="choice">
    <input type="checkbox" ...${same} checked=${value} onChange=${(e) => change(e.target.checked)} />
    <span>${t.manage.names[f.name] ?? f.name}</span></label>${about}</div>`;
  return html`<div class="field"><label for=${id}>${t.manage.names[f.name] ?? f.name}${
    !required &&
    html` <span
      class="quiet">${t.manage.optional}</span>`
  }</label>
    ${
      f.kind === 'one'
        ? html`<select ...${same} value=${value} onChange=${set}>
        ${!required && html`<option value="">${t.manage.none}</option>`}
        ${options.map((o) => html`<option key=${o} value=${o}>${t.manage.options[o] ?? o}</option>`)}</select>`
        : f.kind === 'long'
          ? html`<textarea ...${same} rows="4" spellcheck=${false} value=${value} onInput=${set}></textarea>`
          : html`<input ...${same} type=${f.kind === 'secret' ? 'password' : 'text'}
              inputmode=${f.kind === 'number' ? 'numeric' : undefined}
          pattern=${f.kind === 'number' ? '[0-9]*' : undefined} maxlength=${f.most ?? 4000} value=${value}
          onInput=${set}
          placeholder=${f.example} autocomplete=${f.kind === 'secret' ? 'new-password' : 'off'} spellcheck=${false} />`
    }
    ${about}</div>`;
}

// wrongOf returns what the API found wrong with a field.
const wrongOf = (problem, name) =>
  problem instanceof Problem &&
  problem.fields
    .filter((f) => f.field === name || f.field.startsWith(name + '['))
    .map((f) => f.description)
    .join('; ');

// Form asks for the fields, and sends what they say. It is told of an error by send, and shows it at its field. A text
// in typed has to be typed before.
export function Form({ fields, item, place, button, send, typed }) {
  const [values, setValues] = useState(() => initial(fields, item));
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const [word, setWord] = useState('');
  const shown = fields.filter((f) => asked(f, values, item));
  const body = bodyOf(fields, values, item),
    must = typed?.(body);
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await send(body);
    } catch (failed) {
      setProblem(failed);
    }
    setBusy(false);
  };
  const placed = shown.some((f) => wrongOf(problem, f.name));
  return html`<form class="form" onSubmit=${submit}>
    ${shown.map(
      (f) => html`<${Field} key=${f.name} field=${f} item=${item} value=${values[f.name]} place=${place}
          wrong=${wrongOf(problem, f.name)}
      change=${(v) => setValues((old) => ({ ...old, [f.name]: v }))} />`,
    )}
    ${must && html`<${Typed} text=${must.text} why=${must.why} word=${word} setWord=${setWord} />`}
    ${problem && !placed && html`<p class="problem" role="alert">${said(problem)}</p>`}
    <div class="together"><button class="primary"
        disabled=${busy || (must && word !== must.text) || (item && !Object.keys(body).length)}>
      ${button}</button></div>
  </form>`;
}

// Typed asks for a text, so that nothing is destroyed by a slip.
export function Typed({ text, why, word, setWord }) {
  return html`<div class="field"><label for="typed">${why}</label>
    <p class="small">${t.manage.type} <code><bdi>${text}</bdi></code></p>
    <input id="typed" value=${word} onInput=${(e) => setWord(e.target.value)} autocomplete="off"
        spellcheck=${false} /></div>`;
}
