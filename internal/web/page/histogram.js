import { html, useState, useRef } from './html.js';
import { t } from './text.js';
import * as time from './time.js';

const height = 88,
  top = 6,
  base = 66; // of the drawing, which is 1000 wide

// Histogram shows when events were, those that failed apart, and lets a range be chosen by dragging.
export function Histogram({ summary, zone, choose }) {
  const [drag, setDrag] = useState(null);
  const svg = useRef(null);
  const bars = summary?.histogram ?? [];
  if (!bars.length) return html`<div class="histogram" aria-hidden="true"></div>`;
  const start = Date.parse(summary.startDate),
    end = Date.parse(summary.endDate) + 1,
    span = end - start;
  const times = bars.map((b) => Date.parse(b.start));
  const most = Math.max(1, ...bars.map((b) => b.count));
  const x = (ms) => ((ms - start) / span) * 1000;
  const y = (n) => (n === 0 ? 0 : Math.max(1.5, (n / most) * (base - top)));
  const at = (e) => {
    const box = svg.current.getBoundingClientRect();
    return start + Math.min(1, Math.max(0, (e.clientX - box.left) / box.width)) * span;
  };
  const down = (e) => {
    if (e.button !== 0) return;
    svg.current.setPointerCapture(e.pointerId);
    setDrag({ from: at(e), to: at(e) });
  };
  const move = (e) => drag && setDrag({ from: drag.from, to: at(e) });
  const up = () => {
    if (!drag) return;
    setDrag(null);
    let [from, to] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
    if (to - from < span / 200) {
      // a click chooses its bar
      const i = times.findLastIndex((s) => s <= from);
      [from, to] = [times[Math.max(i, 0)], times[i + 1] ?? end];
    }
    if (to - from >= 2) choose(Math.floor(from), Math.ceil(to) - 1);
  };
  const ticks = [0, 1, 2, 3, 4].map((i) => start + (span * i) / 4);
  const label = t.histogram.label(
    summary.total,
    time.dateTime(start, zone, false),
    time.dateTime(end - 1, zone, false),
  );
  return html`<div class="histogram">
    <svg ref=${svg} viewBox="0 0 1000 ${height - 16}" preserveAspectRatio="none" role="img" aria-label=${label}
      onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => setDrag(null)}>
      <rect x="0" y="0" width="1000" height=${base} class="ground" />
      ${bars.map((b, i) => {
        const left = x(times[i]),
          right = x(times[i + 1] ?? end),
          gap = Math.min(1.5, (right - left) / 5);
        const width = Math.max(0.5, right - left - gap),
          bad = b.failures ?? 0;
        const whole = y(b.count),
          part = b.count ? (whole * bad) / b.count : 0;
        const red = bad ? Math.max(1.5, part) : 0;
        return html`<g key=${b.start}>
          <rect class="hit" x=${left} y="0" width=${right - left} height=${base}>
            <title>${t.histogram.bar(time.dateTime(times[i], zone, false), b.count, bad)}</title></rect>
          <rect class="good" x=${left} y=${base - whole} width=${width} height=${Math.max(0, whole - red)} />
          <rect class="bad" x=${left} y=${base - red} width=${width} height=${red} />
        </g>`;
      })}
      <line x1="0" x2="1000" y1=${base} y2=${base} class="axis" vector-effect="non-scaling-stroke" />
      ${
        drag &&
        html`<rect class="drag" x=${x(Math.min(drag.from, drag.to))} y="0"
        width=${Math.abs(x(drag.to) - x(drag.from))} height=${base} />`
      }
    </svg>
    <div class="ticks" aria-hidden="true">${ticks.map(
      (ms, i) => html`<span class=${i % 2 ? 'odd' : ''}>${time.short(ms, zone, span)}</span>`,
    )}</div>
    <div class="legend" aria-hidden="true"><span class="key good"></span>${t.histogram.success}
      <span class="key bad"></span>${t.histogram.failure}</div>
  </div>`;
}
