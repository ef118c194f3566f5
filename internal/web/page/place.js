// Where one is: what the address says, and the projects and logs that there are.
import { useState, useEffect, useCallback } from './html.js';
import { t } from './text.js';
import * as api from './api.js';
import * as address from './state.js';

// useAddress keeps the state in the address: what is chosen is a step of the browser's history, an event that is opened
// is not.
export function useAddress() {
  const [state, setState] = useState(() => address.read(location.search));
  useEffect(() => {
    const back = () => setState(address.read(location.search));
    addEventListener('popstate', back);
    return () => removeEventListener('popstate', back);
  }, []);
  const change = useCallback(
    (some, quietly) =>
      setState((old) => {
        const next = address.next(old, some);
        const to = address.write(next);
        if (to !== location.pathname + location.search) {
          const small = quietly || Object.keys(some).every((k) => k === 'event' || k === 'columns' || k === 'zone');
          history[small ? 'replaceState' : 'pushState'](null, '', to);
        }
        return next;
      }),
    [],
  );
  return [state, change];
}

// useProjects reads the projects, and the logs of the one that is looked at.
export function useProjects(state, change) {
  const [projects, setProjects] = useState(null);
  const [logs, setLogs] = useState([]);
  const [problem, setProblem] = useState('');
  const [unlisted, setUnlisted] = useState('');
  const [listed, setListed] = useState(false);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    api.projects().then(
      (all) => {
        setProjects(all);
        if (!state.project && all.length) change({ project: all[0].id }, true);
      },
      (e) => setProblem(said(e)),
    );
  }, []);
  useEffect(() => {
    setLogs([]);
    setUnlisted('');
    setListed(false);
  }, [state.project]);
  useEffect(() => {
    if (!state.project) return undefined;
    const stop = new AbortController();
    api.logs(state.project, stop.signal).then(
      (all) => {
        setLogs(all);
        setListed(true);
      },
      (e) => stop.signal.aborted || setUnlisted(said(e)),
    );
    return () => stop.abort();
  }, [state.project, turn]);
  const reload = () => setTurn((n) => n + 1);
  return { projects, logs, listed, reload, problem: problem || unlisted };
}

// said returns an error as people read it.
export function said(e) {
  if (!(e instanceof api.Problem)) return t.failed;
  const fields = e.fields.map((f) => `${f.field} ${f.description}`).join('; ');
  return e.status === 404 ? t.notFound : fields || e.message || t.failed;
}
