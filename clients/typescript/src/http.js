import { newUid } from "./uid.js";

/** @import { RequestOptions } from "./transport.js" */

/** Returns whether a body is sent as it is. @param {unknown} body @returns {body is string | Uint8Array<ArrayBuffer> | Blob} */
export const isRaw = (body) => typeof body === "string" || body instanceof Uint8Array || body instanceof Blob;

/**
 * Returns what `fetch` gets in each attempt. The body is encoded once: a retry must send the same bytes.
 *
 * @param {string} method
 * @param {RequestOptions} request
 */
export function prepare(method, { body, headers, key, cache }) {
  /** @type {Record<string, string>} */
  const sent = { ...headers };
  const { uid } = /** @type {{uid?: unknown}} */ (body ?? {});
  if (method === "POST" && key !== null && (key || !uid)) sent["Idempotency-Key"] = key ?? newUid();
  if (body === undefined || isRaw(body)) return { method, headers: sent, body, cache };
  sent["Content-Type"] ??= "application/json";
  return { method, headers: sent, body: JSON.stringify(body), cache };
}

/**
 * Reads a body. Errors of proxies may have any body, also JSON: only a problem (RFC 9457) is Doable's. A successful response
 * of another server is an error.
 *
 * @param {Response} response
 */
export async function read(response) {
  const text = await response.text();
  if (!text) return undefined;
  try {
    if (!(response.ok ? /json/ : /problem\+json/).test(response.headers.get("Content-Type") ?? "")) throw new Error("The response does not come from Doable.");
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
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1000;
  return seconds >= 0 ? seconds : undefined;
}
