import { NetworkError } from "./errors.js";
import { isRaw } from "./http.js";

/** @import { CallOptions, PostOptions } from "./calls.js" */
/** @import { Transport } from "./transport.js" */
/** @import { ImportResult, TaskImport } from "./types/types.gen.js" */
/** @typedef {Awaited<ReturnType<ReturnType<typeof exporter>>>} Export */

/**
 * Creates the method that exports.
 *
 * @param {Transport} transport
 */
export function exporter({ request }) {
  /**
   * Exports all data of the user, as JSON, CSV or iCalendar. The file is not read into memory: use `stream`, `blob` or
   * `text`, one of them and once. They fail if the file ends too early.
   *
   * @param {"json" | "csv" | "ical"} [format]
   * @param {CallOptions & {bom?: boolean}} [options] `bom`: begin a CSV file with a byte order mark, for Excel
   */
  return async function exportTo(format = "json", { bom, ...options } = {}) {
    const query = { format, bom: bom ? 1 : undefined };
    const answer = await request("GET", "/export", { ...options, query, raw: true });
    const response = /** @type {Response} */ (answer.body);
    /** @type {<T>(reading: Promise<T>) => Promise<T>} */
    const whole = (reading) => reading.catch((cause) => {
      if (options.signal?.aborted) throw cause;
      throw new NetworkError("The file ended too early.", { cause });
    });
    return {
      /** The name that the service suggests for the file. */
      name: /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? `tasks.${format}`,
      type: response.headers.get("Content-Type"),
      stream: /** @type {ReadableStream<Uint8Array>} */ (response.body),
      blob: () => whole(response.blob()),
      text: () => whole(response.text()),
    };
  };
}

/**
 * Creates the method that imports.
 *
 * @param {Transport} transport
 */
export function importer({ request }) {
  /**
   * Imports a file of an export or a spreadsheet: all of its tasks, or none.
   *
   * @param {TaskImport | string | Blob | Uint8Array} source a file, its text or bytes, or the value of a JSON file
   * @param {PostOptions & {format?: "json" | "csv", onConflict?: "create" | "skip"}} [options] `format` is recognised if
   *   it is left out. `onConflict: "skip"` skips tasks that are there already
   * @returns {Promise<ImportResult>}
   */
  return async function importFrom(source, { format, onConflict, ...options } = {}) {
    // No line of a spreadsheet begins with a brace.
    const isJSON = format ? format === "json" : !isRaw(source) || /^\s*\{/.test(await new Response(source).text());
    const headers = { "Content-Type": isJSON ? "application/json" : "text/csv" };
    const query = { on_conflict: onConflict };
    return (await request("POST", "/import", { timeout: 120_000, ...options, query, headers, body: source })).body;
  };
}
