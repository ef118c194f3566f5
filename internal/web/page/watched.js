// What weir does by itself for a project: what it collects and delivers, and which alerts last.
import { html } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import { watched } from './resources.js';
import { queue, useAnswer } from './answer.js';
import { Facts } from './manage.js';
import { visible } from './visible.js';
import { said } from './place.js';

const listed = 500; // of a kind; a project has fewer
const shown = 12; // of a kind, what needs somebody first
const needy = ['TROUBLE', 'FIRING', 'FAILING', 'PARKED', 'BEHIND'];
const inTurn = queue();

// lookAt asks how each thing of a kind is: [{item, word, error, facts}], what needs somebody first.
async function lookAt(of, place, signal) {
  const { results } = await api.getJSON(
    of.path(place),
    { itemsPerPage: listed },
    { accept: of.accept ?? 'application/json', signal },
  );
  const all = [];
  for (const item of results) {
    const state = await api.getJSON(of.status(place, item), {}, { signal }).then(
      (s) => of.state(s, item),
      (problem) => ({ word: 'UNKNOWN', error: said(problem), facts: {} }),
    );
    signal.throwIfAborted();
    all.push({ item, ...state });
  }
  const rank = ({ word }) => (needy.includes(word) ? needy.indexOf(word) : needy.length);
  return all.sort((a, b) => rank(a) - rank(b));
}

// Kind shows the things of a kind. Who may not see them is not told of them.
function Kind({ of, state, turn, change }) {
  const { answer, problem } = useAnswer(
    (signal) => lookAt(of, { project: state.project }, signal),
    JSON.stringify([state.project, turn]),
    inTurn,
  );
  const words = t.overview.kinds[of.key];
  if (problem?.status === 403) return null;
  const all = answer?.filter(of.lasts ?? Boolean);
  const quiet = answer && answer.length - all.length;
  return html`<section aria-busy=${!answer && !problem}>
    <h3><button class="link"
        onClick=${() => change({ view: 'manage', section: of.key, event: '' })}>${words.title}</button></h3>
    ${problem && html`<p class="problem" role="alert">${said(problem)}</p>`}
    ${!answer && !problem && html`<p class="quiet">${t.loading}</p>`}
    <ul>${all?.slice(0, shown).map(
      ({ item, word, error, facts }) => html`<li key=${of.id(item)}>
      <p class="together"><b><bdi>${visible(String(of.name(item)))}</bdi></b>
        <span class=${'state ' + word}>${t.manage.states[word] ?? word}</span></p>
      ${error && html`<p class="problem small"><bdi>${visible(error)}</bdi></p>`}
      <${Facts} of=${Object.fromEntries(of.brief.map((name) => [name, facts[name]]))} zone=${state.zone} /></li>`,
    )}</ul>
    ${all?.length > shown && html`<p class="quiet small">${t.overview.others(all.length - shown)}</p>`}
    ${answer && !all.length && html`<p class="quiet">${quiet ? words.quiet(quiet) : words.none}</p>`}
  </section>`;
}

// Watched shows what weir does by itself.
export const Watched = (same) => html`<h2>${t.overview.now}</h2>
  <div class="watched">${watched.map((of) => html`<${Kind} key=${of.key} of=${of} ...${same} />`)}</div>`;
