// What is shown in place of a view that cannot be drawn.
import { html, Component } from './html.js';
import { t } from './text.js';

// Boundary shows its children. If one of them fails, it says so, and offers a way out: what made it fail may be in the
// address, which would make it fail again. Another address, such as the one before, is tried.
export class Boundary extends Component {
  constructor(props) {
    super(props);
    this.state = { failed: null };
    this.retry = () => this.setState({ failed: null });
  }

  componentDidMount() {
    addEventListener('popstate', this.retry);
  }

  componentWillUnmount() {
    removeEventListener('popstate', this.retry);
  }

  componentDidCatch(failed) {
    console.warn(failed); // with its place in the code, for a report
    this.setState({ failed });
  }

  render({ children }, { failed }) {
    if (!failed) return children;
    return html`<main class="signin failed" role="alert">
      <h1>${t.broken.title}</h1>
      <p>${t.broken.note}</p>
      <p class="quiet small"><bdi>${String(failed)}</bdi></p>
      <a class="button primary" href="/">${t.broken.afresh}</a>
    </main>`;
  }
}
