// What an event says, by the aliases of the query language (docs/search.md).

const paths = {
  who: [
    'actor.user.name',
    'actor.user.uid',
    'actor.user.email_addr',
    'actor.app_name',
    'actor.app_uid',
    'actor.invoked_by',
    'actor.process.name',
    'user.name',
    'user.uid',
    'user.email_addr',
  ],
  from: [
    'src_endpoint.ip',
    'src_endpoint.hostname',
    'src_endpoint.name',
    'src_endpoint.domain',
    'src_endpoint.uid',
    'src_endpoint.interface_name',
    'direct_endpoint.ip',
  ],
  what: ['api.operation', 'unmapped.atype', 'activity_name', 'type_name'],
  session: ['session.uid', 'actor.session.uid', 'metadata.correlation_uid'],
};
const targets = [
  'entity.name',
  'entity.uid',
  'resources.name',
  'resources.uid',
  'resource.name',
  'resource.uid',
  'unmapped.param.name',
  'unmapped.param.ns',
  'user.name',
  'user.uid',
  'group.name',
  'group.uid',
  'policy.name',
  'dst_endpoint.hostname',
  'dst_endpoint.name',
  'dst_endpoint.ip',
];
const classes = {
  1001: 'File System Activity',
  1007: 'Process Activity',
  2004: 'Detection Finding',
  3001: 'Account Change',
  3002: 'Authentication',
  3003: 'Authorize Session',
  3004: 'Entity Management',
  3005: 'User Access Management',
  3006: 'Group Management',
  4001: 'Network Activity',
  4002: 'HTTP Activity',
  6001: 'Web Resources Activity',
  6002: 'Application Lifecycle',
  6003: 'API Activity',
  6005: 'Datastore Activity',
  6006: 'File Hosting Activity',
};

// parse reads an event. An integer that a number of this language cannot hold stays exact.
export function parse(line) {
  return JSON.parse(line, (_, v, context) =>
    typeof v === 'number' && !Number.isSafeInteger(v) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context.source)
      : v,
  );
}

// indented returns JSON in lines, with all its numbers and strings as they stand there.
export function indented(json) {
  let out = '',
    depth = 0;
  const line = () => '\n' + '  '.repeat(depth);
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === '{' || token === '[') {
      depth++;
      out += token + line();
    } else if (token === '}' || token === ']') {
      depth--;
      out += line() + token;
    } else {
      out += token === ',' ? token + line() : token === ':' ? ': ' : token;
    }
  }
  return out;
}

// values returns the scalars at a path of an event. In arrays each element counts. What is no path has none.
export function values(event, path) {
  const names = splitPath(path);
  if (!names) return [];
  let found = [event];
  for (const name of names) {
    found = found
      .flat(8)
      .map((v) => (v !== null && typeof v === 'object' && Object.hasOwn(v, name) ? v[name] : undefined))
      .filter((v) => v !== undefined);
  }
  return found.flat(8).filter((v) => v !== null && typeof v !== 'object' && v !== '');
}

const name = String.raw`(?:"(?:[^"\\]|\\.)*"|[^\s".]+)`;
const part = new RegExp(name, 'g'),
  whole = new RegExp(`^${name}(?:\\.${name})*$`);

// splitPath returns the names of a path; null if it is none. A path comes from an address or from somebody who types.
export function splitPath(path) {
  if (!whole.test(path)) return null;
  try {
    return path.match(part).map((one) => (one.startsWith('"') ? JSON.parse(one) : one));
  } catch {
    return null; // no escape of JSON
  }
}

// first returns the first value that one of the paths has, with the path; null if there is none.
export function first(event, name) {
  for (const path of paths[name]) {
    const [v] = values(event, path);
    if (v !== undefined) return { path, value: v };
  }
  return null;
}

// alias returns what a column shows of an event: by an alias or by a field.
export function column(event, name) {
  switch (name) {
    case 'who':
    case 'from':
    case 'what':
      return first(event, name)?.value ?? '';
    case 'target': {
      const acted = values(event, 'actor.user.name').length > 0 || values(event, 'actor.user.uid').length > 0;
      for (const path of targets) {
        if (path.startsWith('user.') && !acted) continue;
        const all = values(event, path);
        if (all.length) return all.join(', ');
      }
      return '';
    }
    case 'outcome':
      return outcome(event);
    case 'class':
      return event.class_name || classes[event.class_uid] || String(event.class_uid ?? '');
  }
  return values(event, name).map(String).join(', ');
}

function outcome(event) {
  const [id] = values(event, 'status_id');
  if (id !== undefined) return { 1: 'success', 2: 'failure' }[id] ?? 'unknown';
  const status = String(values(event, 'status')[0] ?? '').toLowerCase();
  if (status) return { success: 'success', failure: 'failure' }[status] ?? 'unknown';
  if (values(event, 'api.response.error').length) return 'failure';
  const [code] = values(event, 'api.response.code');
  if (code !== undefined) return code === 0 || (code >= 200 && code <= 299) ? 'success' : 'failure';
  return 'unknown';
}

const past = {
  start: 'started',
  stop: 'stopped',
  create: 'created',
  drop: 'dropped',
  modify: 'modified',
  delete: 'deleted',
  remove: 'removed',
  update: 'updated',
  add: 'added',
  download: 'downloaded',
  read: 'read',
  search: 'searched',
  summarize: 'counted',
  list: 'listed',
  export: 'exported',
  prove: 'had proven',
  sample: 'sampled',
  process: 'processed',
  enable: 'enabled',
  disable: 'disabled',
  invite: 'invited',
  begin: 'began',
  end: 'ended',
  forget: 'had forgotten',
  get: 'got',
};

// did returns an operation as a person says it: "started stream processor" for startStreamProcessor.
function did(operation, failed) {
  const special = { authenticate: 'signed in', logout: 'signed out' }[operation];
  if (special) return failed ? { authenticate: 'failed to sign in', logout: 'failed to sign out' }[operation] : special;
  const words = operation
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .split(/[\s_.]+/)
    .map((w) => (w === w.toUpperCase() ? w : w.toLowerCase()));
  const [verb, ...rest] = words;
  if (!Object.hasOwn(past, verb)) return null;
  return [failed ? 'failed to ' + verb : past[verb], ...rest].join(' ');
}

// sentence returns what happened as parts of a sentence: texts, and values as {value}.
export function sentence(event) {
  const who = column(event, 'who'),
    what = String(column(event, 'what')),
    target = column(event, 'target');
  const from = column(event, 'from'),
    how = outcome(event);
  const said = did(what, how === 'failure');
  const deed = { value: what || column(event, 'class') || 'something' };
  const parts = said
    ? [{ value: who || 'somebody' }, ' ' + said]
    : who
      ? [{ value: who }, ' did ', deed]
      : [deed, ' happened'];
  if (target && target !== who) parts.push(said ? ' ' : ' to ', { value: target });
  if (from) parts.push(' from ', { value: from });
  if (how === 'failure' && !said) parts.push(', which failed');
  const [why] = values(event, 'status_detail');
  if (how === 'failure' && why) parts.push(': ', { value: why });
  if (event.count > 1) parts.push(`, ${event.count} times`);
  parts.push('.');
  return parts;
}

export const mostRows = 2000;

// rows returns the fields of an event in order: {path, name, depth, value} with value undefined for what holds others.
// There are at most mostRows of them; what has more is read as JSON.
export function rows(value, prefix = '', depth = 0, out = []) {
  for (const [name, v] of Object.entries(value)) {
    if (out.length >= mostRows) return out;
    const path = Array.isArray(value) ? prefix : (prefix ? prefix + '.' : '') + quoteName(name, !prefix);
    const shown = Array.isArray(value) ? `[${name}]` : name;
    if (v !== null && typeof v === 'object' && Object.keys(v).length) {
      out.push({ path, name: shown, depth });
      rows(v, path, depth + 1, out);
    } else {
      out.push({ path, name: shown, depth, value: v });
    }
  }
  return out;
}

const aliases = ['who', 'from', 'what', 'target', 'outcome', 'class'];

// quoteName writes a name of a field so that a query can have it.
function quoteName(name, top) {
  const plain = top ? /^[A-Za-z_][\w$-]*$/ : /^[\w$-]+$/;
  const keyword = top && (aliases.includes(name) || /^(and|or|not)$/i.test(name));
  return plain.test(name) && !keyword ? name : JSON.stringify(name);
}
