import { html, useState, useRef, useEffect } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import { visible } from './visible.js';

const place = 'weir-place'; // in the memory of this tab

// keepPlace has the tab remember what is chosen while a person signs in elsewhere.
function keepPlace() {
  try {
    sessionStorage.setItem(place, location.search);
  } catch {
    /* then the page begins anew */
  }
}

// takePlace returns to what was chosen before.
export function takePlace() {
  try {
    const kept = sessionStorage.getItem(place);
    sessionStorage.removeItem(place);
    if (kept?.startsWith('?') && !location.search) history.replaceState(null, '', '/' + kept);
  } catch {
    /* the page begins anew */
  }
}

// why says what was wrong with an attempt to sign in.
export function why(e) {
  if (!(e instanceof api.Problem)) return t.failed;
  switch (e.status) {
    case 401:
      return t.signIn.wrong;
    case 429:
      return t.signIn.tooMany(e.wait || 60);
    case 403:
      return e.code === 'HTTPS_REQUIRED' ? e.message : t.signIn.elsewhere;
  }
  return e.message || t.failed;
}

// SignIn is the form for a credential. The secret is sent once, and kept nowhere.
export function SignIn({ notice, done }) {
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const [provider, setProvider] = useState('');
  const form = useRef(null);
  useEffect(() => {
    api.ways().then(
      (w) => setProvider(w.provider),
      () => {},
    ); // Without an answer the form is what there is.
    form.current.elements.client_id.focus();
  }, []);
  const leave = async () => {
    setBusy(true);
    setProblem('');
    try {
      const to = await api.startAtProvider();
      keepPlace();
      location.assign(to);
    } catch (failed) {
      setProblem(why(failed));
      setBusy(false);
    }
  };
  const submit = async (e) => {
    e.preventDefault();
    const { client_id, client_secret } = form.current.elements;
    setBusy(true);
    setProblem('');
    try {
      await api.signIn({ client_id: client_id.value.trim(), client_secret: client_secret.value.trim() });
      client_secret.value = '';
      const who = await api.session();
      if (who) done(who);
      else setProblem(t.signIn.cookie);
    } catch (failed) {
      setProblem(why(failed));
      client_secret.focus();
    }
    setBusy(false);
  };
  return html`<main class="signin">
    <form ref=${form} onSubmit=${submit} aria-labelledby="signin-title">
      <img class="mark" src="/web/icon.svg" alt="" width="40" height="40" />
      <h1 id="signin-title">${t.signIn.title}</h1>
      ${notice && !problem && html`<p class="notice" role="status">${notice}</p>`}
      ${
        provider &&
        html`<button type="button" class="primary" disabled=${busy} onClick=${leave}>
          ${t.signIn.provider(visible(provider))}</button>
        <p class="or quiet"><span>${t.signIn.or}</span></p>`
      }
      <p class="quiet">${t.signIn.hint}</p>
      <label>${t.signIn.id}
        <input name="client_id" required autocomplete="username" spellcheck=${false} autocapitalize="none"
            maxlength="200" />
      </label>
      <label>${t.signIn.secret}
        <input name="client_secret" type="password" required autocomplete="current-password" maxlength="200" />
      </label>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <button class=${provider ? '' : 'primary'} disabled=${busy}>${t.signIn.button}</button>
      <p class="quiet small">${t.signIn.note}</p>
    </form>
  </main>`;
}
