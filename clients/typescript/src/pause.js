/**
 * Returns the reason of an aborted signal. React Native's signals have none.
 *
 * @param {AbortSignal} signal
 * @returns {unknown}
 */
export const reasonOf = (signal) => signal.reason ?? Object.assign(new Error("The call was aborted."), { name: "AbortError" });

/**
 * Waits for a promise, or rejects with the signal's reason once the signal aborts. The promise itself continues.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export function unlessAborted(promise, signal) {
  if (!signal) return promise;
  /** @type {() => void} */
  let abort;
  return new Promise((resolve, reject) => {
    abort = () => reject(reasonOf(signal));
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject);
  }).finally(() => signal.removeEventListener("abort", abort));
}

/**
 * Waits, or rejects with the signal's reason once the signal aborts.
 *
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @param {(wake: () => void) => (() => void) | void} [listen] gets a function that ends the wait early; may return its clean-up
 * @returns {Promise<void>}
 */
export function pause(ms, signal, listen) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {(() => void) | void | undefined} */
  let clean;
  const over = /** @type {Promise<void>} */ (new Promise((resolve) => {
    timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1)); // more would be no time at all
    clean = listen?.(resolve);
  }));
  return unlessAborted(over, signal).finally(() => {
    clearTimeout(timer);
    clean?.();
  });
}

/**
 * Returns a back-off with full jitter: a random time from 0 to twice as many milliseconds for each earlier failure, after
 * the time that the service asks for.
 *
 * @param {number} base milliseconds, the longest wait after the first failure
 * @param {number} failures how many attempts have failed, from 1
 * @param {any} [error] the last failure; its `retryAfter` is in seconds
 * @param {number} [longest] milliseconds
 * @returns {number} milliseconds
 */
export const backOff = (base, failures, error, longest = 60_000) =>
  1000 * (error?.retryAfter ?? 0) + Math.random() * Math.min(longest, base * 2 ** (failures - 1));

/** Reports an error of the application, without interrupting the caller. @param {unknown} error */
export const rethrow = (error) => { setTimeout(() => { throw error; }); };

/**
 * Adds a listener to a set. Returns a function that removes it.
 *
 * @template T
 * @param {Set<T>} listeners
 * @param {T} listener
 */
export function add(listeners, listener) {
  listeners.add(listener);
  return () => { listeners.delete(listener); };
}
