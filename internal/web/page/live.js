import { useState, useEffect, useRef } from './html.js';
import * as api from './api.js';
import { question } from './state.js';

const kept = 1000; // events that are shown, and as many that wait while the list is paused
const every = 500; // milliseconds between two looks of the list, however fast events come
const again = 2000; // before a tail that was cut is opened again

// Shown is the events that came, the newest first, as the list takes them.
class Shown {
  constructor(rows) {
    Object.assign(this, { rows, total: rows.length, done: true });
  }

  row(index) {
    return this.rows[index];
  }
  kept() {
    return [...this.rows.keys()];
  }
  find(wanted, nameOf) {
    return this.rows.findIndex((r) => nameOf(r) === wanted);
  }
  next() {
    return Promise.resolve();
  }
  back() {
    return Promise.resolve(false);
  }
  stop() {}
}

// useLive shows events as they are recorded, if state says so: {pages, paused, waiting, missed, cut, problem, pause}.
export function useLive(state) {
  const [view, setView] = useState(null);
  const held = useRef(null);
  const asked = { q: state.q, log: state.logs };
  const key = JSON.stringify([state.live, state.project, asked]);
  useEffect(() => {
    setView(null);
    if (!state.live || !state.project) return undefined;
    const stop = new AbortController();
    const now = { pages: new Shown([]), fresh: [], missed: 0, cut: false, paused: false, changed: true };
    held.current = now;
    const draw = () => {
      if (!now.changed) return;
      now.changed = false;
      if (!now.paused && now.fresh.length) {
        // Otherwise the list stays where it is.
        now.pages = new Shown([...now.fresh.reverse(), ...now.pages.rows].slice(0, kept));
        now.fresh = [];
      }
      setView({
        key,
        pages: now.pages,
        paused: now.paused,
        waiting: now.fresh.length,
        missed: now.missed,
        cut: now.cut,
        problem: now.problem,
      });
    };
    const told = (one) => {
      now.changed = true;
      if (one.row) now.fresh.push(one.row);
      now.missed += one.missed ?? 0;
      if (now.fresh.length > kept) {
        // of those that came while the list was paused, the oldest go
        now.missed += now.fresh.length - kept;
        now.fresh = now.fresh.slice(-kept);
      }
    };
    const set = (some) => Object.assign(now, some, { changed: true });
    run(state.project, asked, told, set, stop.signal);
    draw();
    const timer = setInterval(draw, every);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [key]);
  const pause = () => {
    Object.assign(held.current, { paused: !held.current.paused, changed: true });
  };
  return view?.key === key ? { ...view, pause } : null;
}

// run opens one tail after the other, until the signal stops it or the question is wrong.
async function run(project, asked, told, set, signal) {
  while (!signal.aborted) {
    try {
      const end = await api.tail(project, asked, told, () => set({ cut: false, problem: null }), signal);
      if (end === 'time') continue; // It is another read.
    } catch (problem) {
      if (signal.aborted || problem.status === 401) return;
      if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) {
        set({ problem });
        return;
      }
    }
    set({ cut: true });
    await new Promise((done) => {
      setTimeout(done, again);
    });
  }
}
