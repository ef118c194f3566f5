// What a project has: workspaces, credentials and the rest, each as resources.js says.
import { html, useState, useEffect } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import * as time from './time.js';
import { resources } from './resources.js';
import { at, Form, Typed } from './form.js';
import { visible } from './visible.js';
import { said } from './place.js';
import { Header } from './header.js';
import { Dialog } from './dialog.js';
import { Copy } from './copy.js';

const atOnce = 500; // things of a kind that are listed

// shown returns a value of the API as people read it; empty if there is nothing to show.
export function shown(v, zone) {
  if (v === undefined || v === null || v === '') return '';
  if (Array.isArray(v)) return v.map((one) => shown(one, zone)).join(', ');
  if (typeof v === 'object') return t.manage.options[v.roleName] ?? v.roleName ?? JSON.stringify(v);
  if (typeof v === 'boolean') return v ? t.manage.yes : t.manage.no;
  if (/^\d{4}-\d\d-\d\dT.*Z$/.test(v)) return time.dateTime(Date.parse(v), zone, false) + ' ' + time.zoneName(zone);
  return visible(t.manage.options[v] ?? String(v));
}

// Facts shows pairs of a name and a value.
export const Facts = ({ of, zone }) =>
  html`<dl>${Object.entries(of)
    .map(([name, v]) => [name, shown(v, zone)])
    .filter(([, text]) => text !== '')
    .map(([name, text]) => html`<dt>${t.manage.names[name] ?? name}</dt><dd><bdi>${text}</bdi></dd>`)}</dl>`;

// useList reads the things of a kind: {items}, or {problem}.
function useList(of, place, parent, turn) {
  const [found, setFound] = useState({});
  useEffect(() => {
    let gone = false;
    const tell = (what) => gone || setFound(what);
    const path = of.path(place, parent),
      options = { accept: of.accept ?? 'application/json' };
    setFound((old) => ({ items: old.items }));
    if (of.items) tell({ items: of.items(parent) });
    else if (of.single)
      api.getJSON(path, {}, options).then(
        (item) => tell({ item }),
        (problem) => tell({ problem }),
      );
    else {
      api.getJSON(path, { itemsPerPage: atOnce }, options).then(
        (l) => tell({ items: l.results }),
        (problem) => tell({ problem }),
      );
    }
    return () => {
      gone = true;
    };
  }, [of, place.project, parent, turn]);
  return found;
}

// State shows how something is that weir does by itself; told is given what is found.
export function State({ of, place, item, zone, told }) {
  const [found, setFound] = useState({});
  useEffect(() => {
    let gone = false;
    api.getJSON(of.status(place, item)).then(
      (s) => gone || setFound({ state: of.state(s, item) }),
      (problem) => gone || setFound({ problem }),
    );
    return () => {
      gone = true;
    };
  }, [item]);
  useEffect(() => {
    if (found.state) told?.(found.state);
  }, [found.state]);
  if (found.problem) return html`<p class="problem small">${said(found.problem)}</p>`;
  if (!found.state) return html`<p class="quiet small">…</p>`;
  const { word, error, facts } = found.state;
  return html`<p><span class=${'state ' + word}>${t.manage.states[word] ?? word}</span></p>
    ${error && html`<p class="problem small"><bdi>${visible(error)}</bdi></p>`}
    <${Facts} of=${facts} zone=${zone} />`;
}

// Once shows secrets that a reply has this once.
const Once = ({ secrets }) => html`<p class="notice" role="status">${t.manage.once}</p>
  ${Object.entries(secrets).map(
    ([name, text]) => html`<h3>${t.manage.names[name] ?? name}</h3>
    <div class="together command"><pre tabindex="0">${visible(text)}</pre><${Copy} text=${() => text}
        label=${t.hand.copy} /></div>`,
  )}`;

// Removal asks before something is deleted. What is not made again easily has its name typed.
function Removal({ of, name, remove }) {
  const [word, setWord] = useState('');
  const [problem, setProblem] = useState(null);
  const submit = (e) => {
    e.preventDefault();
    setProblem(null);
    remove().catch(setProblem);
  };
  return html`<form class="form" onSubmit=${submit}>
    ${
      of.light
        ? html`<p><bdi>${visible(name)}</bdi></p>`
        : html`<${Typed} text=${visible(name)} why=${t.manage.kinds[of.key].gone ?? t.manage.gone} word=${word}
            setWord=${setWord} />`
    }
    ${problem && html`<p class="problem" role="alert">${said(problem)}</p>`}
    <div class="together"><button class="danger"
        disabled=${!of.light && word !== visible(name)}>${t.manage.removeButton}</button></div>
  </form>`;
}

// Item is one thing: what is known of it, and what may be done with it.
function Item({ of, item, place, parent, zone, may, done, show }) {
  const [open, setOpen] = useState(false);
  const [state, setState] = useState(null);
  const [problem, setProblem] = useState(null);
  const name = String(of.name(item)),
    path = of.path(place, parent) + '/' + encodeURIComponent(of.id(item));
  const changes = of.fields.some((f) => !f.create) && of.edits !== false && !of.light && !of.items;
  const editing = () =>
    show({
      title: visible(name),
      body: html`<${Form} fields=${of.fields} item=${item} place=${place}
    button=${t.manage.save} send=${async (body) => {
      await api.send(of.method ?? 'PATCH', path, of.whole ? of.whole(item, body) : body, of.accept);
      show(null);
      done();
    }} />`,
    });
  const removing = () =>
    show({
      title: t.manage.remove(t.manage.kinds[of.key].one),
      body: html`<${Removal} of=${of} name=${name}
    remove=${async () => {
      await api.send('DELETE', path, null, of.accept);
      show(null);
      done();
    }} />`,
    });
  const act = (a) => {
    setProblem(null);
    const to = a.verb ? `${of.verbs(place)}/${encodeURIComponent(of.id(item))}:${a.key}` : path;
    api.send(a.method, to, a.body).then(done, setProblem);
  };
  const Head = parent ? 'h5' : 'h3';
  return html`<section class="item">
    <${Head}><bdi>${visible(name)}</bdi><//>
    ${of.status && html`<${State} of=${of} place=${place} item=${item} zone=${zone} told=${setState} />`}
    <${Facts} of=${Object.fromEntries((of.facts ?? []).map((f) => [f, at(item, f)]))} zone=${zone} />
    ${problem && html`<p class="problem" role="alert">${said(problem)}</p>`}
    <div class="together">
      ${
        of.inside &&
        html`<button aria-expanded=${open}
          onClick=${() => setOpen(!open)}>${of.inside.map((i) => t.manage.kinds[i.key].many).join(' · ')}</button>`
      }
      ${
        may &&
        of.actions?.(item, state).map(
          (a) => html`<button key=${a.key}
          onClick=${() => act(a)}>${t.manage.actions[a.key]}</button>`,
        )
      }
      ${may && changes && html`<button onClick=${editing}>${t.manage.edit}</button>`}
      ${
        may &&
        html`<button class="quiet-danger" onClick=${removing}
          aria-label=${t.manage.remove(visible(name))}>${t.manage.removeButton}</button>`
      }
    </div>
    ${
      open &&
      of.inside.map(
        (i) => html`<${List} key=${i.key} of=${i} place=${place} parent=${item} zone=${zone} may=${may} show=${show}
      changed=${i.items && done} />`,
      )
    }
  </section>`;
}

// List shows all things of a kind, and makes others.
function List({ of, place, parent, zone, may, show, changed }) {
  const [turn, setTurn] = useState(0);
  const { items, item, problem } = useList(of, place, parent, turn);
  const words = t.manage.kinds[of.key];
  const done = () => {
    if (changed) changed();
    else setTurn((n) => n + 1);
    place.changed();
  };
  const making = () =>
    show({
      title: t.manage.add(words.one),
      body: html`<${Form} fields=${of.fields} place=${place}
    button=${t.manage.create} send=${async (body) => {
      const made = await api.send('POST', of.path(place, parent), of.body ? of.body(body) : body, of.accept);
      const secrets = of.once?.(made, parent);
      show(secrets ? { title: t.manage.onceTitle, body: html`<${Once} secrets=${secrets} />` } : null);
      done();
    }} />`,
    });
  const Head = parent ? 'h4' : 'h2';
  if (of.single)
    return html`<div class="kind"><div class="bar"><h2>${words.many}</h2></div><p class="quiet small">${words.about}</p>
    ${problem && html`<p class="problem" role="alert">${said(problem)}</p>`}
    ${item && html`<${Single} key=${turn} of=${of} item=${item} place=${place} may=${may} done=${done} />`}</div>`;
  return html`<div class="kind" aria-busy=${!items && !problem}>
    <div class="bar"><${Head}>${words.many}<//>
      ${
        may &&
        html`<button class=${parent ? '' : 'primary'}
          onClick=${making}>${t.manage.add(words.one)}</button>`
      }</div>
    ${words.about && html`<p class="quiet small">${words.about}</p>`}
    ${
      problem
        ? html`<p class="problem" role="alert">${said(problem)}</p>`
        : !items
          ? html`<p class="quiet" role="status">${t.loading}</p>`
          : !items.length
            ? html`<p class="quiet">${words.empty ?? t.manage.empty}</p>`
            : ''
    }
    <div class="items">${items?.map(
      (one) => html`<${Item} key=${of.id(one)} of=${of} item=${one} place=${place} parent=${parent} zone=${zone}
      may=${may} done=${done} show=${show} />`,
    )}</div>
    ${items?.length === atOnce && html`<p class="quiet small">${t.manage.first(atOnce)}</p>`}
  </div>`;
}

// Single shows the settings, of which there is one of each.
function Single({ of, item, place, may, done }) {
  const typed = (body) => of.destroys(item, body) && { text: visible(place.name), why: t.manage.removesEvents };
  return html`<fieldset class="plain" disabled=${!may}><${Form} fields=${of.fields} item=${item} place=${place}
      button=${t.manage.save} typed=${typed}
    send=${async (body) => {
      await api.send('PATCH', of.path(place), body);
      done();
    }} /></fieldset>`;
}

// useFresh tells whether the session is new enough to change things.
function useFresh(who) {
  const left = () => Date.parse(who.changesUntil ?? 0) - Date.now();
  const [fresh, setFresh] = useState(left() > 0);
  useEffect(() => {
    if (!fresh) return undefined;
    const timer = setTimeout(() => setFresh(false), left());
    return () => clearTimeout(timer);
  }, [fresh]);
  return fresh;
}

const owns = (who, place) =>
  who.roles.some(
    (r) =>
      (r.roleName === 'ORG_OWNER' && r.orgId === place.org) ||
      (r.roleName === 'GROUP_OWNER' && r.groupId === place.project),
  );

// Manage shows what a project has; its owners change it, for a while after they have signed in.
export function Manage({ who, state, change, projects, logs, problem, reload, show, signOut }) {
  const [dialog, setDialog] = useState(null);
  const fresh = useFresh(who);
  const project = projects?.find((p) => p.id === state.project);
  const of = resources.find((r) => r.key === state.section) ?? resources[0];
  const place = {
    project: state.project,
    org: project?.orgId,
    name: project?.name ?? '',
    changed: reload,
    workspaces: [...new Set(logs.filter((l) => l.state !== 'deleted' && l.workspaceName).map((l) => l.workspaceName))],
  };
  const owner = Boolean(project) && owns(who, place),
    may = owner && fresh;
  return html`<div class="overview manage">
    <${Header} state=${state} who=${who} projects=${projects} logs=${logs} change=${change} signOut=${signOut}
        show=${show} />
    <main>
      <div class="bar"><h1>${t.manage.title}</h1>
        ${
          may &&
          html`<span class="quiet small">${t.manage.until(
            time.dateTime(Date.parse(who.changesUntil), state.zone, false).slice(11, 16) +
              ' ' +
              time.zoneName(state.zone),
          )}</span>`
        }</div>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      ${project && !owner && html`<p class="notice">${t.manage.reader}</p>`}
      ${
        owner &&
        !fresh &&
        html`<p class="notice together">${t.manage.old} <button
          onClick=${() => signOut(false)}>${t.manage.again}</button></p>`
      }
      <div class="sections"><nav aria-label=${t.manage.title}>${resources.map(
        (r) => html`<button key=${r.key}
          aria-current=${r === of ? 'page' : undefined}
          onClick=${() => change({ section: r.key })}>${t.manage.kinds[r.key].many}</button>`,
      )}</nav>
        ${
          project &&
          html`<${List} key=${of.key + state.project} of=${of} place=${place} zone=${state.zone} may=${may}
            show=${setDialog} />`
        }</div>
    </main>
    ${dialog && html`<${Dialog} title=${dialog.title} close=${() => setDialog(null)}>${dialog.body}<//>`}
  </div>`;
}
