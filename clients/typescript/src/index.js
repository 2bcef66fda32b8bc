export { createDoable } from "./client.js";
export * from "./errors.js";
export { newUid } from "./uid.js";

/** @typedef {import("./client.js").Doable} Doable */
/** @typedef {import("./calls.js").TaskFilters} TaskFilters */
/** @typedef {import("./client.js").BatchResult} BatchResult */
/** @typedef {import("./transport.js").TransportOptions} DoableOptions */
/** @typedef {import("./stream.js").LiveEvent} LiveEvent */
/** @typedef {import("./stream.js").LiveState} LiveState */
/** @typedef {import("./types/types.gen.js").Task} Task */
/** @typedef {import("./types/types.gen.js").TaskDraft} TaskDraft */
/** @typedef {import("./types/types.gen.js").TaskPatch} TaskPatch */
/** @typedef {import("./types/types.gen.js").TaskSummary} TaskSummary */
/** @typedef {import("./types/types.gen.js").List} List */
/** @typedef {import("./types/types.gen.js").ListDraft} ListDraft */
/** @typedef {import("./types/types.gen.js").ListPatch} ListPatch */
/** @typedef {import("./types/types.gen.js").ItemChange} ItemChange */
/** @typedef {import("./types/types.gen.js").ProblemDetails} ProblemDetails */
/** @typedef {import("./calls.js").Reference} Reference */
/** @typedef {import("./stream.js").Live} Live */
/** @typedef {import("./token.js").TokenSource} TokenSource */
