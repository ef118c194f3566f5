// Queries as texts (docs/search.md): terms that a click adds, and what stands at the cursor.

// ownReads leaves out the events that say who read the logs.
export const ownReads = '-unmapped.atype:auditLogAccessed';

// term returns a term that a field has a value.
export function term(field, value) {
  return `${field}:${typeof value === 'string' ? JSON.stringify(value) : String(value)}`;
}

// add returns a query with another term that must fit. A term that is there already stays once, and its opposite goes.
export function add(query, one) {
  const opposite = one.startsWith('-') ? one.slice(1) : '-' + one;
  const rest = remove(remove(query, opposite), one).trim();
  if (!rest) return one;
  return (hasOr(rest) ? `(${rest})` : rest) + ' ' + one;
}

// remove returns a query without a term that stands in it by itself.
export function remove(query, one) {
  const parts = query.split(one);
  if (parts.length === 1) return query;
  for (let i = 1; i < parts.length; i++) {
    const before = parts.slice(0, i).join(one),
      after = parts.slice(i).join(one);
    const apart = (before === '' || before.endsWith(' ')) && (after === '' || after.startsWith(' '));
    if (apart && !inQuotes(before) && !/\b(or|not|and)\s*$/i.test(before) && !/^\s*or\b/i.test(after)) {
      return (before.trimEnd() + ' ' + after.trimStart()).trim();
    }
  }
  return query;
}

// has tells whether a query has a term by itself.
export const has = (query, one) => remove(query, one) !== query;

function inQuotes(text) {
  return (text.replace(/\\./g, '').split('"').length - 1) % 2 === 1;
}

function hasOr(query) {
  let depth = 0;
  for (const m of query.matchAll(/"(?:[^"\\]|\\.)*"|[()]|[^\s()"]+/g)) {
    if (m[0] === '(') depth++;
    else if (m[0] === ')') depth--;
    else if (depth === 0 && /^or$/i.test(m[0])) return true;
  }
  return false;
}

// atCursor returns what is being typed: {from, to, field, text}, where field is null as long as it is a field itself.
export function atCursor(query, cursor) {
  const before = query.slice(0, cursor);
  if (inQuotes(before)) return null;
  const [word] = before.match(/[^\s()"]*$/);
  const bare = word.replace(/^-/, '');
  const from = cursor - bare.length;
  const [tail] = query.slice(cursor).match(/^[^\s()":]*/);
  const colon = bare.indexOf(':');
  if (colon < 0) return { from, to: cursor + tail.length, field: null, text: bare };
  return { from: from + colon + 1, to: cursor + tail.length, field: bare.slice(0, colon), text: bare.slice(colon + 1) };
}

// column returns the column that an error of a query names, counted from 1; 0 if it names none.
export const column = (problem) => Number(problem.match(/^column (\d+)/)?.[1] ?? 0);
