// What all views are made with.
export {
  html,
  render,
  Component,
  useState,
  useEffect,
  useRef,
  useMemo,
  useCallback,
  useLayoutEffect,
} from './vendor/htm-preact-3.1.1.js';
