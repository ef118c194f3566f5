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
