import { GoneError } from "../errors.js";
import { follow } from "../stream.js";

/** @import { Kind, Row, Step } from "./copy.js" */
/** @import { Transport } from "../transport.js" */

/** @typedef {Step & Required<Pick<Step, "put" | "drop" | "since" | "seen">>} Feed */

/**
 * Reads all changes after a position, and returns them as one step. If the position is no longer known, reads everything.
 *
 * @param {Transport} transport
 * @param {{since: string, user: string, signal: AbortSignal}} options
 * @returns {Promise<Step>}
 */
export async function readChanges(transport, { since, user, signal }) {
  let step = begin(since);
  for (;;) {
    try {
      const query = { since: step.since, limit: 1000 };
      const { body } = await transport.request("GET", "/changes", { query, user, signal, retries: 0 });
      for (const change of body.changes) add(step, change);
      step.since = body.next;
      if (!body.has_more) return step;
    } catch (error) {
      if (!(error instanceof GoneError)) throw error;
      step = begin("0");
    }
  }
}

/**
 * Follows the changes after a position. Changes that arrive together come as one step; `undefined` stands for a reset.
 *
 * @param {Transport} transport
 * @param {{since: string, user: string, signal: AbortSignal, onState: (state: string, error?: unknown) => void}} options
 * @param {(step: Step | undefined) => unknown} handle
 */
export async function followChanges(transport, options, handle) {
  /** @type {Feed | undefined} */
  let step;
  let { since } = options;
  const flush = () => {
    const whole = step;
    step = undefined;
    if (whole && !options.signal.aborted) handle(whole);
  };
  for await (const { type, id, data } of follow(transport, options)) {
    // A stream from 0 does not tell of tasks that are gone, and responses may have brought some.
    if (type === "reset" || (since === "0" && id !== since)) {
      flush();
      await handle(undefined);
      since = id;
      continue;
    }
    if (!step) {
      step = begin(id);
      setTimeout(flush); // after all events that have arrived
    }
    step.all = false;
    step.since = id;
    if (data) add(step, data);
  }
}

/**
 * @param {string} since
 * @returns {Feed}
 */
const begin = (since) => ({ all: since === "0", put: [], drop: [], since, seen: 0 });

/**
 * @param {Feed} step
 * @param {any} change
 */
function add(step, { type, ...row }) {
  step.seen = Math.max(step.seen, row.version);
  if (row.deleted) step.drop.push([type, row.uid, row.version]);
  else step.put.push([type, row]);
}
