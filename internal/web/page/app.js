// The page: who is signed in decides what is shown.
import { html, render, useState, useEffect } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import { SignIn, takePlace } from './signin.js';
import { useAddress, useProjects } from './place.js';
import * as proof from './proof.js';
import { Explore } from './explore.js';
import { Overview } from './overview.js';
import { Manage } from './manage.js';
import { LogPanel, Help } from './panels.js';
import { Boundary } from './failed.js';

// takeHash returns what the address says behind '#': a one-time code, or why a sign-in at a provider failed. It is then
// no longer in the address, nor in the browser's history.
function takeHash() {
  const said = new URLSearchParams(location.hash.slice(1));
  const [code, failed] = [said.get('code'), said.get('signin')];
  if (code || failed) history.replaceState(null, '', location.pathname + location.search);
  return { code, failed };
}

const failure = (word) => (Object.hasOwn(t.signIn.atProvider, word) ? t.signIn.atProvider[word] : t.failed);

async function arrive({ code, failed }) {
  if (failed) {
    const who = await api.session();
    return { who, notice: who ? '' : failure(failed) };
  }
  if (code) {
    try {
      await api.signIn({ code });
    } catch (e) {
      const who = await api.session();
      return { who, notice: who ? '' : e.status === 401 ? t.signIn.code : e.message || t.failed };
    }
  }
  const who = await api.session();
  if (who) takePlace();
  return { who, notice: '' };
}

// Signed is the page of who is signed in.
function Signed({ who, signOut }) {
  const [state, change] = useAddress();
  const place = useProjects(state, change);
  const [dialog, show] = useState('');
  const [pinned, setPinned] = useState(proof.pinnedKey);
  const repin = () => setPinned(proof.pinnedKey()),
    close = () => show('');
  if (place.projects && !place.projects.length)
    return html`<main class="signin"><p class="notice">${t.noProjects}</p>
    <button onClick=${() => signOut(false)}>${t.user.signOut}</button></main>`;
  const View = { overview: Overview, manage: Manage }[state.view] ?? Explore;
  return html`<${View} ...${place} who=${who} state=${state} change=${change} pinned=${pinned} repin=${repin}
      show=${show}
      signOut=${signOut} />
    ${
      dialog === 'logs' &&
      html`<${LogPanel} state=${state} logs=${place.logs} pinned=${pinned} close=${close}
      changed=${repin} only=${(id) => change({ logs: [id], event: '', view: '' })} />`
    }
    ${dialog === 'help' && html`<${Help} close=${close} use=${(q) => change({ q, event: '', view: '' })} />`}`;
}

function App({ said }) {
  const [state, setState] = useState(null);
  useEffect(() => {
    arrive(said).then(setState, () => setState({ who: null, notice: t.failed }));
    const linked = () => {
      const next = takeHash();
      if (next.code) arrive(next).then(setState, () => setState({ who: null, notice: t.failed }));
    };
    addEventListener('hashchange', linked); // the link is followed where the page is open already
    api.onEnded(() => setState((s) => (s && !s.who ? s : { who: null, notice: t.signIn.ended })));
  }, []);
  if (!state) return html`<main class="signin"><p class="quiet" role="status">${t.loading}</p></main>`;
  if (!state.who) return html`<${SignIn} notice=${state.notice} done=${(who) => setState({ who, notice: '' })} />`;
  const leave = async (everywhere) => {
    await api.signOut(everywhere);
    setState({ who: null, notice: '' });
  };
  return html`<${Boundary}><${Signed} who=${state.who} signOut=${leave} /><//>`;
}

render(html`<${App} said=${takeHash()} />`, document.getElementById('page'));
