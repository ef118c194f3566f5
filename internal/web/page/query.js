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
  return (split(rest).some((part) => isWord(part, 'or')) ? `(${rest})` : rest) + ' ' + one;
}

// remove returns a query without a term that stands in it by itself: all events that the query finds fit the term, and
// what is left is the rest of the condition. A term in parentheses or beside an "or" is part of something larger.
export function remove(query, one) {
  const parts = split(query);
  if (parts.some((part) => isWord(part, 'or'))) return query;
  const i = parts.findIndex((part, n) => part.text === one && !goesOn(parts[n - 1]) && !follows(parts[n + 1]));
  if (i < 0) return query;
  // An "and" joins two terms, and goes with one of them.
  const from = isWord(parts[i - 1], 'and') ? i - 1 : i;
  const to = from === i && isWord(parts[i + 1], 'and') ? i + 1 : i;
  const before = query.slice(0, parts[from].start).trimEnd(),
    after = query.slice(parts[to].end).trimStart();
  return remove((before + ' ' + after).trim(), one);
}

// has tells whether a query has a term by itself.
export const has = (query, one) => remove(query, one) !== query;

// parts are white space, and what stands between: quoted text, an escaped character, parentheses, and other characters.
const token = /[\s\u0085]+|"(?:[^"\\]|\\.)*"|\\.|[()]|[^\s\u0085()"\\]+|["\\]/gsu;

// split returns the parts of a query that stand beside each other at its top: {text, start, end}. Those are terms,
// groups in parentheses, keywords and operators.
function split(query) {
  const parts = [];
  let depth = 0,
    open = false; // the last part goes on
  for (const { 0: text, index: start } of query.matchAll(token)) {
    const end = start + text.length;
    const last = parts.at(-1);
    if (depth === 0 && /^[\s\u0085]/.test(text)) {
      open = false;
      continue;
    }
    // A parenthesis or a quote may follow a keyword at once.
    if (depth === 0 && open && /^["(]/.test(text) && ['and', 'or', 'not'].some((word) => isWord(last, word)))
      open = false;
    if (open) Object.assign(last, { text: query.slice(last.start, end), end });
    else parts.push({ text, start, end });
    depth += text === '(' ? 1 : text === ')' ? -1 : 0;
    open = depth > 0 || text !== ')';
  }
  return parts;
}

const isWord = (part, word) => part?.text.toLowerCase() === word;

// goesOn tells whether what follows a part belongs to it, and follows whether a part belongs to what is before it.
const goesOn = (part) => isWord(part, 'not') || /[:<>=]$/.test(part?.text ?? '');
const follows = (part) => /^[:<>=!]/.test(part?.text ?? '');

function inQuotes(text) {
  return (text.replace(/\\./g, '').split('"').length - 1) % 2 === 1;
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
