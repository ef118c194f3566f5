import { html } from './html.js';
import { t, number } from './text.js';
import { visible } from './visible.js';
import { term, has } from './query.js';

export const facetFields = ['outcome', 'who', 'what', 'target', 'from', 'class'];

// Facets shows the most frequent values of some fields. A click includes a value, or excludes it; another takes it
// back.
export function Facets({ summary, failed, query, include, exclude }) {
  const facets = summary?.facets ?? [];
  return html`<aside class="facets" aria-label=${t.facets.title}>
    ${facetFields.map((name) => {
      const f = facets.find((one) => one.field === name);
      return html`<section key=${name}>
        <h2>${t.facets.names[name]}</h2>
        ${f?.tooManyValues && html`<p class="quiet small">${t.facets.tooMany}</p>`}
        ${!f && html`<p class="quiet small">${failed ? t.facets.empty : '…'}</p>`}
        ${f && !f.tooManyValues && !f.values.length && html`<p class="quiet small">${t.facets.empty}</p>`}
        <ul>${(f?.values ?? []).map(({ value, count }) => {
          const one = term(name, value),
            shown = visible(value);
          const on = has(query, one),
            off = has(query, '-' + one);
          return html`<li key=${String(value)} class=${on ? 'on' : off ? 'off' : ''}>
            <button class="value" title=${t.facets.include(shown)} aria-pressed=${on} onClick=${() => include(one)}>
              <span class=${'name ' + (name === 'outcome' ? 'outcome-' + String(value) : '')}><bdi>${shown}</bdi></span>
              <span class="count">${number(count)}</span>
              <span class="share" style=${{ width: (100 * count) / Math.max(1, summary.total) + '%' }}></span>
            </button>
            <button class="exclude" title=${t.facets.exclude(shown)} aria-label=${t.facets.exclude(shown)}
              aria-pressed=${off} onClick=${() => exclude(one)}>−</button>
          </li>`;
        })}</ul>
        ${f?.other > 0 && html`<p class="quiet small">${t.facets.other(f.other)}</p>`}
        ${f?.missing > 0 && html`<p class="quiet small">${t.facets.missing(f.missing)}</p>`}
      </section>`;
    })}
  </aside>`;
}
