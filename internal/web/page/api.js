// The way to weir's API in the session of the page.
import { parse } from './event.js';

// Problem is an error that the API, or the way to it, has replied with.
export class Problem extends Error {
  constructor(status, body, wait) {
    super(body?.detail ?? '');
    this.status = status;
    this.code = body?.errorCode ?? '';
    this.wait = Number(wait ?? 0); // seconds
    this.fields = body?.badRequestDetail?.fields ?? [];
  }
}

const base = '/web/api';
const page = { 'Weir-Page': '1' };

// listeners are told when the session has ended.
let ended = () => {};
export const onEnded = (f) => {
  ended = f;
};

// address returns that of an operation: below the page's way to the API, or of the API itself for other programs.
export function address(path, params = {}, root = base) {
  const p = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of [value].flat()) if (one !== undefined && one !== '') p.append(name, one);
  }
  const text = p.toString();
  return root + path + (text ? '?' + text : '');
}

async function failure(res) {
  let body = null;
  try {
    body = await res.json();
  } catch {
    /* no JSON: the status says enough */
  }
  return new Problem(res.status, body, res.headers.get('Retry-After'));
}

// get returns the reply to a GET: {text, headers}.
export async function get(path, params, { accept = 'application/json', signal } = {}) {
  const res = await fetch(address(path, params), { headers: { ...page, Accept: accept }, signal, redirect: 'error' });
  if (res.status === 401) ended();
  if (!res.ok) throw await failure(res);
  return { text: await res.text(), headers: res.headers };
}

// getJSON returns what a GET replies with.
export async function getJSON(path, params, options) {
  const { text } = await get(path, params, options);
  return JSON.parse(text);
}

// send asks for a change, and returns what the reply says; null if it says nothing.
export async function send(method, path, body, accept = 'application/json') {
  const res = await fetch(base + path, {
    method,
    redirect: 'error',
    headers: { ...page, Accept: accept, 'Content-Type': 'application/json' },
    body: method === 'DELETE' ? undefined : JSON.stringify(body),
  });
  if (res.status === 401) ended();
  if (!res.ok) throw await failure(res);
  const text = await res.text();
  return text ? JSON.parse(text) : null;
}

// signIn begins a session with the fields of a form.
export async function signIn(fields) {
  const res = await fetch('/web/session', { method: 'POST', headers: page, body: new URLSearchParams(fields) });
  if (!res.ok) throw await failure(res);
  return res.json();
}

// ways says how one can sign in beside with a credential: {provider}, the host of an OpenID provider or empty.
export async function ways() {
  const res = await fetch('/web/session/ways', { headers: page });
  if (!res.ok) throw await failure(res);
  return res.json();
}

// startAtProvider returns the address where a person signs in.
export async function startAtProvider() {
  const res = await fetch('/web/session/start', { method: 'POST', headers: page });
  if (!res.ok) throw await failure(res);
  return (await res.json()).authorizationUrl;
}

// signOut ends the session, or all sessions of its credential.
export async function signOut(everywhere) {
  const res = await fetch('/web/session' + (everywhere ? '?everywhere=true' : ''), { method: 'DELETE', headers: page });
  if (!res.ok && res.status !== 401) throw await failure(res);
}

// session returns who is signed in; null if nobody is.
export async function session() {
  const res = await fetch(base + '/weir/v1/session', { headers: page });
  if (res.status === 401) return null;
  if (!res.ok) throw await failure(res);
  return res.json();
}

export const projects = () =>
  getJSON('/atlas/v2/groups', { itemsPerPage: 500 }, { accept: 'application/vnd.atlas.2023-01-01+json' }).then(
    (l) => l.results,
  );

export const group = (project) => `/weir/v1/groups/${encodeURIComponent(project)}`;

export const logs = (project, signal) =>
  getJSON(group(project) + '/logs', { itemsPerPage: 500 }, { signal }).then((l) => l.results);

export const settings = (project) => getJSON(group(project) + '/settings');

// Questions. What asks the same again sends back what the reply to the first said, so that one question is one event.
let asked = { key: '', read: '' };

const keyOf = (project, question) => JSON.stringify([project, question]);

// forget has the next request be a new question, with a new now.
export function forget() {
  asked = { key: '', read: '' };
}

async function ask(project, path, question, more, options) {
  const key = keyOf(project, question);
  const read = asked.key === key && !more.cursor ? asked.read : '';
  const reply = await get(group(project) + path, { ...question, ...more, read }, options);
  const given = reply.headers.get('Weir-Read');
  if (given && !read && !more.cursor && options.remember) asked = { key, read: given };
  return reply;
}

// events returns a page of events: {rows: [{log, index, line, event}], cursor}. A line has the bytes that were
// recorded.
export async function events(project, question, more, signal) {
  const reply = await ask(project, '/events', question, more, {
    accept: 'application/x-ndjson',
    signal,
    remember: true,
  });
  const rows = reply.text.split('\n').filter(Boolean).map(row);
  return { rows, cursor: reply.headers.get('Weir-Cursor') };
}

// tail tells of events as they are recorded, {row} or {missed}, until the server ends the tail; it returns why. begun
// is called when the tail is open.
export async function tail(project, question, told, begun, signal) {
  const res = await fetch(address(group(project) + '/events:tail', question), {
    headers: { ...page, Accept: 'application/x-ndjson' },
    signal,
    redirect: 'error',
  });
  if (res.status === 401) ended();
  if (!res.ok) throw await failure(res);
  begun();
  const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = '', end = ''; ;) {
    const { value, done } = await reader.read();
    if (done) return end;
    const lines = (text + value).split('\n');
    text = lines.pop();
    for (const line of lines) {
      if (line.startsWith('{"log":')) told({ row: row(line) });
      else {
        const said = JSON.parse(line);
        if (said.missed) told(said);
        if (said.end) end = said.end;
      }
    }
  }
}

// row reads a line such as {"log":"…","index":12,"event":{…}}, and keeps the bytes of the event apart.
function row(text) {
  const m = text.match(/^\{"log":"([0-9a-f]+)","index":(null|\d+),"event":/);
  const line = text.slice(m[0].length, -1);
  return { log: m[1], index: m[2] === 'null' ? null : Number(m[2]), line, event: parse(line) };
}

export const summary = (project, question, more, signal) =>
  ask(project, '/events:summary', question, more, { signal, remember: true }).then((r) => JSON.parse(r.text));

export const fields = (project, question, signal) =>
  ask(project, '/events:fields', question, {}, { signal, remember: true }).then((r) => JSON.parse(r.text));

// entry returns an entry of a log as a row; null if it is not there.
export async function entry(project, log, index, signal) {
  const reply = await get(
    `${group(project)}/logs/${encodeURIComponent(log)}/entries`,
    { from: index, limit: 1 },
    { signal },
  );
  const m = reply.text.match(/^\{"index":(\d+),"event":/);
  if (!m || Number(m[1]) !== index) return null;
  const line = reply.text.trimEnd().slice(m[0].length, -1);
  return { log, index, line, event: parse(line) };
}

export const checkpoint = (project, log) =>
  get(`${group(project)}/logs/${encodeURIComponent(log)}/checkpoint`).then((r) => r.text);

export const prove = (project, log, index) =>
  getJSON(`${group(project)}/logs/${encodeURIComponent(log)}/proof`, { index });

// fileAddress returns where a log is as a ZIP file of its .gz and the proof of that, in a range of time in
// milliseconds.
export const fileAddress = (project, log, from, to) =>
  `/web/download/${encodeURIComponent(project)}/${encodeURIComponent(log)}` +
  `?startDate=${Math.floor(from / 1000)}&endDate=${Math.floor(to / 1000)}`;

// exportAddress returns where all events of a question are as a table.
export const exportAddress = (project, question, format) => {
  const read = asked.key === keyOf(project, question) ? asked.read : '';
  return address(group(project) + '/events:export', { ...question, format, read });
};
