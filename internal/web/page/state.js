// What is looked at. All of it stands in the address, so that a link shows the same to somebody else who may see it.

export const usualColumns = ['time', 'outcome', 'who', 'what', 'target', 'from'];
export const usualFrom = 'now-7d';

const mostColumns = 20;

// columnsOf returns the columns that a text names, each once. A comma in double quotes is part of a name.
export function columnsOf(text) {
  const names = text.match(/(?:"(?:[^"\\]|\\.)*"|[^,])+/g) ?? [];
  return [...new Set(names.map((name) => name.trim()).filter(Boolean))].slice(0, mostColumns);
}

// read returns the state that an address says.
export function read(search) {
  const p = new URLSearchParams(search);
  const columns = columnsOf(p.get('columns') ?? '');
  return {
    view: ['overview', 'manage'].includes(p.get('view')) ? p.get('view') : '',
    section: p.get('section') ?? '',
    project: p.get('project') ?? '',
    logs: p.getAll('log'),
    q: p.get('q') ?? '',
    from: p.get('from') || usualFrom,
    to: p.get('to') ?? '',
    zone: p.get('zone') === 'local' ? 'local' : 'utc',
    order: p.get('order') === 'oldest' ? 'oldest' : 'newest',
    live: p.get('live') === 'on' ? 'on' : '',
    columns: columns.length ? columns : usualColumns,
    event: p.get('event') ?? '',
  };
}

// write returns the address of a state, without what is usual.
export function write(s) {
  const p = new URLSearchParams();
  const set = (name, value, usual) => {
    if (value && value !== usual) p.set(name, value);
  };
  set('view', s.view);
  if (s.view === 'manage') set('section', s.section);
  set('project', s.project);
  for (const log of s.logs) p.append('log', log);
  set('q', s.q);
  set('from', s.from, usualFrom);
  set('to', s.to);
  set('zone', s.zone, 'utc');
  set('order', s.order, 'newest');
  set('live', s.live);
  set('columns', s.columns.join(','), usualColumns.join(','));
  set('event', s.event);
  const text = p.toString();
  return location.pathname + (text ? '?' + text : '');
}

// next returns a state with some of it changed. A range is of what was recorded, so that choosing one leaves Live.
export function next(state, some) {
  const ranged = ('from' in some || 'to' in some) && !('live' in some);
  return { ...state, ...some, ...(ranged && { live: '' }) };
}

// question returns what of a state says which events are meant, as parameters of the API.
export function question(s) {
  const p = { q: s.q, startDate: s.from, log: s.logs };
  if (s.to) p.endDate = s.to;
  return p;
}
