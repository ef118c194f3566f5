// The page: who is signed in decides what is shown.
import { html, render, useState, useEffect } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import { SignIn } from './signin.js';
import { Explore } from './explore.js';

// takeCode returns the one-time code of the address, which is then no longer in it, nor in the browser's history.
function takeCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (code) history.replaceState(null, '', location.pathname + location.search);
  return code;
}

async function arrive(code) {
  if (code) {
    try {
      await api.signIn({ code });
    } catch (e) {
      const who = await api.session();
      return { who, notice: who ? '' : e.status === 401 ? t.signIn.code : e.message || t.failed };
    }
  }
  return { who: await api.session(), notice: '' };
}

function App({ code }) {
  const [state, setState] = useState(null);
  useEffect(() => {
    arrive(code).then(setState, () => setState({ who: null, notice: t.failed }));
    const linked = () => {
      const next = takeCode();
      if (next) arrive(next).then(setState, () => setState({ who: null, notice: t.failed }));
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

render(html`<${App} code=${takeCode()} />`, document.getElementById('page'));
