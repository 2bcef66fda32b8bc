import { newUid } from "./uid.js";

/** @import { RequestOptions } from "./transport.js" */

/**
 * Returns what `fetch` gets in each attempt. The body is encoded once: a retry must send the same bytes.
 *
 * @param {string} method
 * @param {RequestOptions} request
 */
export function prepare(method, { body, headers, key, raw }) {
  /** @type {Record<string, string>} */
  const sent = { ...headers };
  let encoded = body;
  const isRaw = typeof body === "string" || body instanceof Uint8Array || (globalThis.Blob && body instanceof Blob);
  if (body !== undefined && !isRaw) {
    encoded = JSON.stringify(body);
    sent["Content-Type"] ??= "application/json";
  }
  const uid = !isRaw && /** @type {{uid?: unknown} | undefined} */ (body)?.uid;
  if (method === "POST" && key !== null && (key || !uid)) sent["Idempotency-Key"] = key ?? newUid();
  // A stream must neither wait for the browser's cache nor fill it.
  const cache = /** @type {RequestCache} */ (raw ? "no-store" : "default");
  return { method, headers: sent, body: /** @type {BodyInit | undefined} */ (encoded), cache };
}

/**
 * Reads a body. Errors of proxies may have any body; a successful response of another server is an error.
 *
 * @param {Response} response
 */
export async function read(response) {
  const text = await response.text();
  if (!text) return undefined;
  try {
    if (!/json/.test(response.headers.get("Content-Type") ?? "")) throw new Error("The response does not come from Doable.");
    return JSON.parse(text);
  } catch (error) {
    if (response.ok) throw error;
    return undefined;
  }
}

/**
 * Returns the seconds in Retry-After, which may be a number or a date (RFC 9110, section 10.2.3).
 *
 * @param {Headers} headers
 */
export function secondsAfter(headers) {
  const value = headers.get("Retry-After");
  if (!value) return undefined;
  const now = Date.parse(headers.get("Date") ?? "") || Date.now(); // the clock of the service, if it is known
  const seconds = /^\s*\d+\s*$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1000;
  return seconds >= 0 ? seconds : undefined;
}
