// Answers of the API, asked for one after the other.
import { useState, useEffect } from './html.js';

// queue returns what does one thing after the other, so that however much there is to ask for the API is asked one
// thing at a time.
export function queue() {
  let before = Promise.resolve();
  return (f) => {
    before = before.then(f, f);
    return before;
  };
}

// useAnswer returns what ask resolves to, as {answer}, or {problem}. It is asked in turn, and again when the key is
// another one.
export function useAnswer(ask, key, inTurn) {
  const [found, setFound] = useState({});
  useEffect(() => {
    const stop = new AbortController(),
      tell = (what) => stop.signal.aborted || setFound(what);
    setFound({});
    inTurn(() => (stop.signal.aborted ? null : ask(stop.signal))).then(
      (answer) => tell({ answer }),
      (problem) => tell({ problem }),
    );
    return () => stop.abort();
  }, [key]);
  return found;
}
