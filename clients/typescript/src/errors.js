/** @import { ProblemDetails, InvalidField, Task, List } from "./types/types.gen.js" */

/**
 * The service answered with an error. Subclasses name the usual kinds.
 */
export class DoableError extends Error {
  name = "DoableError";
  /** Whether an earlier attempt of this request may have taken effect: it got no response, or a 503. */
  uncertain = false;

  /**
   * @param {number} status the HTTP status
   * @param {Partial<ProblemDetails>} [problem] the body of the response (RFC 9457)
   * @param {number} [retryAfter] seconds
   */
  constructor(status, problem = {}, retryAfter) {
    super(problem.detail ?? problem.title ?? `The service answered with status ${status}.`);
    /** The HTTP status. */
    this.status = status;
    /** The body of the response. Empty if the response did not come from Doable, but from a proxy. */
    this.problem = problem;
    /** A code for programs, such as "task_quota_exceeded". Its meaning never changes. */
    this.code = problem.code;
    /** A short name of the problem. */
    this.title = problem.title;
    /** One sentence for people: what is wrong and what to do. */
    this.detail = problem.detail;
    /** The id of the request in the service's log. */
    this.requestId = problem.request_id;
    /** The seconds after which the service accepts the request, if the response names them. */
    this.retryAfter = retryAfter;
  }
}

/** The service refuses the token, even a new one (401). Ask the user to sign in. */
export class UnauthorizedError extends DoableError {
  name = "UnauthorizedError";
}

/** The path names another user (403). */
export class ForbiddenError extends DoableError {
  name = "ForbiddenError";
}

/** The user has no such task or list (404). */
export class NotFoundError extends DoableError {
  name = "NotFoundError";
}

/** The request conflicts with the current state (409, 412): another version, a full quota, a uid in the trash. */
export class ConflictError extends DoableError {
  name = "ConflictError";

  /**
   * The current task or list, if it is not at the expected version (412).
   * @returns {Task | List | undefined}
   */
  get current() {
    return this.problem.current;
  }
}

/** The position in the change feed is no longer known (410). Read everything again. */
export class GoneError extends DoableError {
  name = "GoneError";
}

/** The input is invalid (400, 413, 415, 422). */
export class ValidationError extends DoableError {
  name = "ValidationError";

  /**
   * One entry for each invalid field.
   * @returns {InvalidField[]}
   */
  get errors() {
    return this.problem.errors ?? [];
  }
}

/** The user sent too many requests (429), and retries did not help. */
export class RateLimitedError extends DoableError {
  name = "RateLimitedError";
}

/**
 * The service is unavailable (408, 425, 502, 503, 504), and retries did not help. Or a proxy without the service behind it
 * answered with 404 or 410.
 */
export class UnavailableError extends DoableError {
  name = "UnavailableError";
}

/** No response arrived, and retries did not help: the network failed, or the token function did. See `cause`. */
export class NetworkError extends Error {
  name = "NetworkError";
  /** Whether the request may have taken effect. False if it was never sent. */
  uncertain = false;
}

/** No user is signed in, or another one than when the call began. Nothing was sent. Ask the user to sign in. */
export class SignedOutError extends Error {
  name = "SignedOutError";

  constructor(message = "No user is signed in.") {
    super(message);
  }
}

/** @type {Record<number, typeof DoableError>} */
const KINDS = {
  400: ValidationError, 401: UnauthorizedError, 403: ForbiddenError, 404: NotFoundError, 408: UnavailableError,
  409: ConflictError, 410: GoneError, 412: ConflictError, 413: ValidationError, 415: ValidationError,
  422: ValidationError, 425: UnavailableError, 429: RateLimitedError, 502: UnavailableError, 503: UnavailableError,
  504: UnavailableError,
};

/**
 * Returns the typed error for a problem. The problem may also come from the result of a batch.
 *
 * @param {number} status the HTTP status
 * @param {Partial<ProblemDetails>} [problem] the body of the response
 * @param {number} [retryAfter] seconds
 * @returns {DoableError}
 */
export function errorOf(status, problem, retryAfter) {
  // Without a code, the answer is not Doable's, and says nothing of a task or a position.
  const kind = problem?.code || ![404, 410].includes(status) ? status : 503;
  return new (KINDS[kind] ?? DoableError)(status, problem, retryAfter);
}
