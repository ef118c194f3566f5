// Times as people read them, in UTC or in the browser's zone.

const localZone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

// zoneName returns the name of a zone that can be chosen: 'utc' or 'local'.
export const zoneName = (zone) => (zone === 'local' ? localZone : 'UTC');

export const isLocalUTC = localZone === 'UTC';

const formats = new Map();

function format(zone, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) {
    formats.set(key, new Intl.DateTimeFormat('sv-SE', { timeZone: zoneName(zone), hourCycle: 'h23', ...options }));
  }
  return formats.get(key);
}

const day = { year: 'numeric', month: '2-digit', day: '2-digit' };
const clock = { hour: '2-digit', minute: '2-digit', second: '2-digit' };

// dateTime writes a time to the millisecond.
export function dateTime(ms, zone, fraction = true) {
  const d = new Date(ms);
  if (Number.isNaN(d.getTime())) return String(ms);
  return (
    format(zone, { ...day, ...clock }).format(d) +
    (fraction ? '.' + String(((ms % 1000) + 1000) % 1000).padStart(3, '0') : '')
  );
}

// inZone returns a time that somebody has typed, as the API reads it: one without a zone is in the chosen zone, and a
// day or a longer time begins and ends there. last is whether it ends a range. Times relative to now stay as they are.
export function inZone(text, zone, last) {
  if (zone !== 'local') return text;
  const clock = text.match(/^(\d{4})-(\d\d)-(\d\d)T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.\d+)?)?)?$/);
  if (clock) {
    const [year, month, date, hour, minute = 0, second = 0] = clock
      .slice(1)
      .map((n) => (n === undefined ? n : Number(n)));
    return text + offset(new Date(year, month - 1, date, hour, minute, second).getTime(), zone);
  }
  const days = daysOf(text);
  if (!days) return text;
  return last ? written(days[1].getTime() - 1, zone) : written(days[0].getTime(), zone);
}

// daysOf returns when a day, a week or a month begins and ends in the browser's zone; null if a text is none.
function daysOf(text) {
  const [, year, month, date] = text.match(/^(\d{4})-(\d\d)(?:-(\d\d))?$/)?.map(Number) ?? [];
  if (year && date) return [new Date(year, month - 1, date), new Date(year, month - 1, date + 1)];
  if (year) return [new Date(year, month - 1, 1), new Date(year, month, 1)];
  const [, inYear, week] = text.match(/^(\d{4})-W(\d\d)$/)?.map(Number) ?? [];
  if (!inYear) return null;
  const fourth = new Date(inYear, 0, 4); // is in the first week, which begins on Monday
  const monday = 4 - ((fourth.getDay() + 6) % 7) + (week - 1) * 7;
  return [new Date(inYear, 0, monday), new Date(inYear, 0, monday + 7)];
}

// written writes a time as RFC 3339 does, with the offset of the zone.
const written = (ms, zone) => dateTime(ms, zone).replace(' ', 'T') + offset(ms, zone);

// short writes a time as far as the length of what it stands in needs.
export function short(ms, zone, span) {
  const d = new Date(ms);
  const date = format(zone, day).format(d);
  if (span > 300 * 86400e3) return date;
  if (span > 5 * 86400e3) return date.slice(5);
  if (span > 86400e3) return date.slice(5) + ' ' + format(zone, { hour: '2-digit', minute: '2-digit' }).format(d);
  return format(zone, span > 600e3 ? { hour: '2-digit', minute: '2-digit' } : clock).format(d);
}

// offset returns how far the zone is from UTC at a time: "+01:00".
export function offset(ms, zone) {
  const part =
    format(zone, { timeZoneName: 'longOffset' })
      .formatToParts(new Date(ms))
      .find((p) => p.type === 'timeZoneName')?.value ?? '';
  const found = part.match(/[+\u2212-]\d\d:\d\d/);
  return found ? found[0].replace('\u2212', '-') : '+00:00';
}
