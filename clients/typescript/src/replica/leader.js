import { SignedOutError } from "../errors.js";
import { backOff, pause } from "../pause.js";
import { followChanges, readChanges } from "./feed.js";
import { createSender } from "./outbox.js";

/** @import { Step } from "./copy.js" */
/** @import { SenderOptions } from "./outbox.js" */

const LONGEST_BACK_OFF = 60_000; // milliseconds

/**
 * @typedef {Omit<SenderOptions, "onState" | "copy" | "read"> & {
 *   copy: ReturnType<import("./copy.js").createCopy>,
 *   report: (status: {online?: boolean, synced?: boolean, syncing?: boolean, problem?: unknown}) => void,
 *   leave: () => void,
 * }} LeaderOptions `leave` is called if another user has signed in
 */

/**
 * Reads the changes of the service and sends the outbox, until the signal aborts.
 *
 * @param {LeaderOptions} options
 */
export function createLeader({ report, leave, ...options }) {
  const { transport, user, signal, copy, commit } = options;
  /** @type {(() => void) | undefined} */
  let awake;
  let failures = 0;
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  /**
   * Commits changes of the feed after all earlier ones. An event must not overtake a page of an earlier state.
   *
   * @param {() => Step | Promise<Step>} next
   */
  const inOrder = (next) => {
    const committed = last.then(next).then((step) => commit(step));
    last = committed.catch(() => {});
    return committed;
  };

  /** @param {string} [since] by default, the position of the copy */
  const read = (since) => inOrder(() => readChanges(transport, { since: since ?? copy.since, user, signal }));

  const sender = createSender({
    ...options,
    read,
    onState(syncing, error) {
      if (error) fail(error, { syncing, online: false });
      else report({ syncing, ...(error === null && { online: true, problem: null }) });
    },
  });

  /** @param {unknown} error @param {{online?: boolean, syncing?: boolean}} [status] */
  async function fail(error, status) {
    if (signal.aborted) return;
    report({ ...status, problem: error });
    if (error instanceof SignedOutError && await transport.user().catch(() => user) !== user) leave();
  }

  /** @param {string} state @param {unknown} [error] */
  function onState(state, error) {
    if (state === "open") {
      failures = 0;
      report({ online: true, problem: null });
      sender.wake();
    } else if (error) {
      fail(error, { online: false });
    }
  }

  async function run() {
    while (!signal.aborted) {
      try {
        report({ syncing: true });
        await read(); // the writes are compared with the newest state
        report({ online: true, synced: true, syncing: false, problem: null });
        sender.wake();
        // A stream from 0 does not tell of tasks that are gone, and responses may have brought some.
        await followChanges(transport, { since: copy.since, user, signal, onState },
          (step) => (step && copy.since !== "0" ? inOrder(() => step) : read("0")));
      } catch (error) {
        await fail(error, { online: false, syncing: false });
      }
      failures += 1;
      await pause(backOff(4 * transport.backOff, failures, LONGEST_BACK_OFF), signal, (wake) => {
        awake = wake;
        globalThis.addEventListener?.("online", wake);
        return () => globalThis.removeEventListener?.("online", wake);
      }).catch(() => {});
    }
  }

  return {
    run,

    /** Sends what waits, at once. */
    send: sender.wake,

    /** Ends all waits, and reads what is new. Returns whether that succeeded. */
    async refresh() {
      awake?.();
      sender.wake();
      try {
        await read();
        return true;
      } catch (error) {
        await fail(error);
        return false;
      }
    },
  };
}
