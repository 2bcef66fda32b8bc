// One tab of a browser leads: it has the event stream and sends the outbox. A Web Lock decides which one, and passes to the
// next tab when the leader closes or dies. A leader that the system has suspended keeps its lock, so a visible tab that
// gets no answer from the leader takes the lock away.

import { pause } from "../pause.js";

const PATIENCE = 4_000; // milliseconds, within which a leader answers
const INTERVAL = 10_000; // milliseconds between two questions

/**
 * @typedef {object} TabOptions
 * @property {boolean} [shared] whether other tabs use the same copy
 * @property {(message: any) => void} receive gets the messages of other tabs
 * @property {(signal: AbortSignal) => Promise<unknown>} lead is called when this tab begins to lead, until the signal aborts
 * @property {() => void} wake is called when the tab becomes visible
 */

/**
 * Joins the tabs with a copy of this name. Without Web Locks, this instance is the only tab, and leads.
 *
 * @param {string} name
 * @param {TabOptions} options
 */
export function joinTabs(name, { shared, receive, lead, wake }) {
  const stop = new AbortController();
  const { signal } = stop;
  const locks = globalThis.navigator?.locks;
  if (!shared || !locks) {
    queueMicrotask(() => signal.aborted || lead(signal));
    return { isAlone: true, post: (/** @type {any} */ _message) => {}, leave: () => stop.abort() };
  }

  const channel = new BroadcastChannel(name);
  let answered = 0; // when the leader answered last
  /** @type {AbortController | undefined} */
  let term;
  channel.onmessage = ({ data }) => {
    if (data === "who leads?") term && channel.postMessage("I lead");
    else if (data === "I lead") answered = Date.now();
    else receive(data);
  };

  /** @param {LockOptions} options */
  function request(options) {
    locks.request(name, options, () => {
      if (signal.aborted) return;
      term = new AbortController();
      return lead(term.signal);
    }).catch(() => { // another tab has taken the lock, or this one has left
      term?.abort();
      term = undefined;
      if (!signal.aborted) request({ signal });
    });
  }
  request({ signal });

  async function check() {
    if (term || globalThis.document?.visibilityState !== "visible") return;
    const asked = Date.now();
    channel.postMessage("who leads?");
    await pause(PATIENCE);
    if (!term && !signal.aborted && answered < asked) request({ steal: true });
  }
  const timer = setInterval(check, INTERVAL);
  const onChange = () => {
    wake();
    void check();
  };
  globalThis.document?.addEventListener("visibilitychange", onChange);

  return {
    /** Sends a message to the other tabs. @param {any} message */
    post: (message) => { if (!signal.aborted) channel.postMessage(message); },

    leave() {
      stop.abort();
      term?.abort();
      clearInterval(timer);
      globalThis.document?.removeEventListener("visibilitychange", onChange);
      channel.close();
    },
  };
}
