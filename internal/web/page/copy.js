import { html, useState } from './html.js';
import { t } from './text.js';

// Copy is a button that puts a text where it can be pasted.
export function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      // a browser without it, or without leave: the old way
      const area = document.createElement('textarea');
      area.value = text();
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button onClick=${copy} aria-live="polite">${done ? t.copied : label}</button>`;
}
