// The page: who is signed in decides what is shown.
import { html, render, useState, useEffect } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import { SignIn, takePlace } from './signin.js';
import { Explore } from './explore.js';

// takeHash returns what the address says behind '#': a one-time code, or why a sign-in at a provider failed. It is then
// no longer in the address, nor in the browser's history.
function takeHash() {
  const said = new URLSearchParams(location.hash.slice(1));
  const [code, failed] = [said.get('code'), said.get('signin')];
  if (code || failed) history.replaceState(null, '', location.pathname + location.search);
  return { code, failed };
}

const failure = (word) => Object.hasOwn(t.signIn.atProvider, word) ? t.signIn.atProvider[word] : t.failed;

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

function App({ said }) {
  const [state, setState] = useState(null);
  useEffect(() => {
    arrive(said).then(setState, () => setState({ who: null, notice: t.failed }));
    const linked = () => {
      const next = takeHash();
      if (next.code) arrive(next).then(setState, () => setState({ who: null, notice: t.failed }));
    };
    addEventListener('hashchange', linked); // the link is followed where the page is open already
    api.onEnded(() => setState((s) => s && !s.who ? s : { who: null, notice: t.signIn.ended }));
  }, []);
  if (!state) return html`<main class="signin"><p class="quiet" role="status">${t.loading}</p></main>`;
  if (!state.who) return html`<${SignIn} notice=${state.notice} done=${(who) => setState({ who, notice: '' })} />`;
  const leave = async (everywhere) => {
    await api.signOut(everywhere);
    setState({ who: null, notice: '' });
  };
  return html`<${Explore} who=${state.who} signOut=${leave} />`;
}

render(html`<${App} said=${takeHash()} />`, document.getElementById('page'));
