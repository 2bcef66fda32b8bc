import { SignedOutError } from "../errors.js";
import { backOff, pause } from "../pause.js";
import { on } from "../stream.js";
import { followChanges, readChanges } from "./feed.js";
import { createSender } from "./outbox.js";

/** @import { Step } from "./copy.js" */
/** @import { SenderOptions } from "./outbox.js" */

/**
 * @typedef {Omit<SenderOptions, "onState" | "copy" | "read" | "inOrder"> & {
 *   copy: ReturnType<import("./copy.js").createCopy>,
 *   report: (status: {online?: boolean, synced?: boolean, syncing?: boolean, problem?: unknown}) => void,
 *   check: () => Promise<unknown>,
 * }} LeaderOptions `check` finds out whether another user has signed in
 */

/**
 * Reads the changes of the service and sends the outbox, until the signal aborts.
 *
 * @param {LeaderOptions} options
 */
export function createLeader({ report, check, ...options }) {
  const { transport, user, signal, copy, commit } = options;
  /** @type {(() => void) | undefined} */
  let awake;
  let failures = 0;
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  /**
   * Runs a request, or commits an event, after all earlier ones: no result may be older than the copy that it changes.
   *
   * @template T
   * @param {() => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  const inOrder = (work) => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };

  /** @param {string} [since] by default, the position of the copy */
  const read = (since) => inOrder(async () => commit(await readChanges(transport, { since: since ?? copy.since, user, signal })));

  const sender = createSender({
    ...options,
    read,
    inOrder,
    onState(syncing, error) {
      if (error) fail(error, { syncing, online: false });
      else report({ syncing, ...(error === null && { online: true, problem: null }) });
    },
  });

  /** @param {unknown} error @param {{online?: boolean, syncing?: boolean}} [status] */
  async function fail(error, status) {
    if (signal.aborted) return;
    report({ ...status, problem: error });
    if (error instanceof SignedOutError) await check();
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
        await followChanges(transport, { since: copy.since, user, signal, onState },
          (step) => (step ? inOrder(() => commit(step)) : read("0")));
      } catch (error) {
        await fail(error, { online: false, syncing: false });
        failures += 1;
        await pause(backOff(4 * transport.backOff, failures, error), signal, (wake) => {
          awake = wake;
          return on("online", wake);
        }).catch(() => {});
      }
    }
  }

  return {
    run,

    /** Sends what waits, at once. */
    send: sender.wake,

    /** Ends all waits, and reads what is new. Returns whether that succeeded. */
    refresh() {
      awake?.();
      sender.wake();
      return read().then(() => true, (error) => fail(error).then(() => false));
    },
  };
}
