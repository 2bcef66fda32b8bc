"""What can go wrong, in the domain's words; `api.problems` alone knows which HTTP answer each one becomes."""

from __future__ import annotations

from typing import NamedTuple


class FieldError(NamedTuple):
    """One thing wrong with one field, parameter or line of what a client sent.

    Several errors may have the same `hint`; an answer gives it once. `is_known` is false if the client made up the
    name of the field.
    """

    field: str
    message: str
    hint: str = ""
    is_known: bool = True


class DoableError(Exception):
    """Root of everything this service raises on purpose.

    `detail` is one sentence for the person who reads the answer: what is wrong and what to do. It never holds
    driver text, SQL, a path or a secret.
    """

    detail = "Something went wrong."

    def __init__(self, detail: str | None = None) -> None:
        """Keep `detail`, or the class's own sentence when there is none."""
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail


class ConfigurationError(DoableError):
    """The environment's settings cannot be run with; raised before anything is served.

    `faults` holds a sentence for each thing to correct; `detail` has them one a line.
    """

    def __init__(self, *faults: str) -> None:
        """Keep the sentences, at least one."""
        super().__init__("\n".join(faults))
        self.faults = faults


class SchemaLockedError(DoableError):
    """A migration could not lock its table, because somebody else's transaction holds it; nothing of it stays."""

    def __init__(self, tries: int, seconds: float) -> None:
        """Say how many `tries` there were, and for how many `seconds` each of them waited."""
        super().__init__(
            f"A migration needs a table that a long transaction holds, and gave up after {tries} tries of {seconds:g} "
            "seconds; nothing of it stays. End that transaction (pg_stat_activity shows it), or migrate again later."
        )


class DistributionError(DoableError):
    """The tables cannot be distributed over several machines as things stand; `detail` says what to do first."""


class UnscopedQueryError(DoableError):
    """A query was started without naming its owner: always a bug of ours, never let through."""

    detail = "Name the owner first: use .for_user(user_id)."


class MissingRowError(DoableError):
    """A statement that always returns a row returned none: always a bug of ours, never let through."""

    detail = "The database returned no row where there is always one."


class CredentialsMissingError(DoableError):
    """The request carries no bearer token."""

    detail = "Send an access token in the Authorization header: 'Authorization: Bearer <token>'."


class CredentialsAmbiguousError(DoableError):
    """The request carries more than one token, so nobody can say whose it is (RFC 6750 section 3.1)."""

    detail = "Send exactly one access token, in one Authorization header."


class InvalidTokenError(DoableError):
    """The token is not one we trust. `reason` is for the log; strangers get one constant sentence.

    Only a token that is too long gets a sentence of its own: its length is no secret to the client that sent it.
    """

    detail = "The access token is invalid or has expired; get a new one and try again."

    def __init__(self, reason: str, detail: str | None = None) -> None:
        """Keep `reason`, which must hold no part of the token, and the public `detail` if it is not the constant."""
        super().__init__(detail)
        self.reason = reason


class NotTheOwnerError(DoableError):
    """The path names another user than the token does."""

    detail = "This token may not act for the user in the path; use your own id, or 'me'."


class TaskNotFoundError(DoableError):
    """There is no such task among the caller's own."""

    detail = "There is no task with this id."


class VersionMismatchError(DoableError):
    """The task is at another version than the writer expects; nothing was written.

    `version` and `document` (JSON) are the task's as it is. If `mangled`, a proxy has changed the ETag that was sent,
    and it can never match. If `excluded`, the version is one at which the writer does not want to write.
    """

    def __init__(self, version: int, document: str, *, mangled: bool = False, excluded: bool = False) -> None:
        """Keep the task, and say what to do."""
        if mangled:
            detail = (
                'A proxy that compresses has changed the ETag in If-Match (to W/"…", or with a suffix such as -gzip), '
                "so it can never match; send the version as 'if_version' in the body, without If-Match."
            )
        elif excluded:
            detail = (
                f"If-None-Match excludes this write, because the task is there, at version {version}; look at "
                "'current' and decide again."
            )
        else:
            detail = (
                f"The task has changed since you read it, and is at version {version} now; look at 'current', decide "
                "again, and send that version."
            )
        super().__init__(detail)
        self.document = document


class TaskQuotaError(DoableError):
    """The caller holds as many live tasks as one user may."""

    def __init__(self, quota: int) -> None:
        """Name the `quota`, a number of tasks."""
        super().__init__(f"You already have {quota:,} tasks, the most one user may have; delete some and try again.")


class TrashFullError(DoableError):
    """The caller's trash holds as many tasks as it may."""

    def __init__(self, quota: int) -> None:
        """Name the `quota`, a number of tasks."""
        super().__init__(
            f"Your trash may hold {quota:,} tasks, and has no room for this; empty it (DELETE /api/me/trash) or "
            "restore tasks from it, and try again."
        )


class SyncPositionGoneError(DoableError):
    """The caller wants the changes since a position that cannot be gone on from.

    `newest` is the caller's current position: the beginning, empty before the first write, and the revision.
    """

    detail = "The changes since this position are not known any more; read everything again with since=0."

    def __init__(self, beginning: str = "", revision: int = 0) -> None:
        """Keep the caller's current position."""
        super().__init__()
        self.newest = (beginning, revision)


class BatchFailedError(DoableError):
    """An operation of an atomic batch cannot be done, so none was; `index` counts from 0, `cause` says why."""

    def __init__(self, index: int, cause: DoableError) -> None:
        """Name the operation, and give its own reason."""
        super().__init__(f"Nothing was done, because operation {index} (counted from 0) cannot be: {cause.detail}")
        self.index = index
        self.cause = cause


class RequestInProgressError(DoableError):
    """A request with the same key is still running; its answer will be this one's too."""

    detail = "A request with this Idempotency-Key is still running; send it again in a second to get its answer."
    retry_after = 1


class IdempotencyKeyReusedError(DoableError):
    """The key was sent before, with another body."""

    detail = "This Idempotency-Key came with another body before; use a new key for each new write."


class IdempotencyFullError(DoableError):
    """The answers that are kept for the caller's idempotency keys take as much room as they may."""

    def __init__(self, keys: int, size: int) -> None:
        """Name the quotas: a number of `keys`, and the `size` of their answers in bytes."""
        super().__init__(
            f"The answers to your Idempotency-Keys of the last 24 hours reach {keys:,} keys or {size:,} bytes, the "
            "most that is kept for one user; send the request without a key, or wait until older answers are forgotten."
        )


class RateLimitedError(DoableError):
    """The caller, or the caller's address, has done too much of something lately. `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        """Keep how many seconds to wait, at least 1."""
        super().__init__(f"Too many requests; try again in {retry_after} seconds.")
        self.retry_after = retry_after


class TooManyStreamsError(RateLimitedError):
    """The caller, or this process, holds as many event streams open as it may; `retry_after` is in seconds."""

    detail = "Too many event streams are open; close one, or try again in a while."

    def __init__(self, retry_after: int) -> None:
        """Keep how many seconds to wait, at least 1."""
        DoableError.__init__(self)
        self.retry_after = retry_after


class TooManyHeavyRequestsError(RateLimitedError):
    """The caller has too many heavy requests under way, and none ended in time; `retry_after` is in seconds."""

    detail = (
        "Too many of your lists without limit, counts, searches, exports or imports run at once; wait for some to end, "
        "then try again."
    )

    def __init__(self, retry_after: int) -> None:
        """Keep how many seconds to wait, at least 1."""
        DoableError.__init__(self)
        self.retry_after = retry_after


class UnsupportedMediaTypeError(DoableError):
    """The body's media type, charset or content coding is not understood; `header` says which ones are."""

    def __init__(self, detail: str, header: str, value: str) -> None:
        """Keep the sentence and the answer's header (RFC 9110 section 15.5.16)."""
        super().__init__(detail)
        self.header = (header, value)


class MalformedInputError(DoableError):
    """What was sent is not JSON at all (or not UTF-8, or nested beyond reason)."""

    detail = "The request body is not valid JSON."


class InvalidInputError(DoableError):
    """What was sent can be read, but breaks the rules; `errors` names every field that does."""

    def __init__(self, errors: list[FieldError]) -> None:
        """Make one sentence of `errors`, which must not be empty."""
        self.errors = errors
        parts = [f"{field}: {message}" if field else message for field, message in self.messages]
        text = "; ".join(parts).replace("?; ", "? ")
        super().__init__(text if text.endswith("?") else f"{text}.")

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The field and message of each error; of the errors with the same hint, the first one includes it."""
        found, given = [], {""}
        for field, message, hint, _ in self.errors:
            joint = " " if message.endswith("?") else "; "
            found.append((field, message if hint in given else f"{message}{joint}{hint}"))
            given.add(hint)
        return found


class UnavailableError(DoableError):
    """Something this service needs is away for a moment; the same request may succeed later.

    `kind` names the failure for logs and metrics (`connection`, `timeout`, `pool`, …), never for the client.
    `retry_after`, in seconds, is when the request may succeed, where that is known.
    """

    detail = "The service cannot answer right now; try again in a moment."

    def __init__(self, kind: str, retry_after: int | None = None) -> None:
        """Keep `kind`, a word from a short fixed list, and the seconds to wait."""
        super().__init__()
        self.kind = kind
        self.retry_after = retry_after
