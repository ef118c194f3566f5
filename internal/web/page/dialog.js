import { html, useEffect, useRef } from './html.js';
import { t } from './text.js';

// Dialog shows something above the page, until it is closed.
export function Dialog({ title, close, children, wide }) {
  const box = useRef(null);
  useEffect(() => {
    const el = box.current;
    el.showModal();
    return () => el.close();
  }, []);
  return html`<dialog ref=${box} class=${wide ? 'wide' : ''} aria-label=${title} onClose=${close}
    onClick=${(e) => e.target === box.current && close()}>
    <header><h2>${title}</h2>
      <button class="icon" title=${t.close} aria-label=${t.close} onClick=${close}>✕</button></header>
    <div class="inside">${children}</div>
  </dialog>`;
}
