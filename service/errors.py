"""The domain's errors. They know no HTTP: `web.codes` has the problem of each, and `web.problems` the response."""

from __future__ import annotations

from typing import NamedTuple


class FieldError(NamedTuple):
    """One fault of a field, parameter or line of the input. A response contains the same `hint` once.

    `is_known` is false if the service knows no field of this name.
    """

    field: str
    message: str
    hint: str = ""
    is_known: bool = True


class DoableError(Exception):
    """The base class of all errors that this service raises on purpose.

    `detail` is one sentence for the client. It never contains a driver's message, SQL, a file path or a secret.
    """

    detail = "The service failed because of an error."

    def __init__(self, detail: str | None = None) -> None:
        """Store `detail`, or the class's own sentence if there is none."""
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail


class ConfigurationError(DoableError):
    """The settings in the environment are invalid. `detail` has the sentences of `faults`, one per line."""

    def __init__(self, *faults: str) -> None:
        """Store the sentences, at least one."""
        super().__init__("\n".join(faults))
        self.faults = faults


class CredentialsMissingError(DoableError):
    """The request contains no bearer token."""

    detail = "Send an access token in the Authorization header: 'Authorization: Bearer <token>'."


class CredentialsAmbiguousError(DoableError):
    """The request contains more than one token, so its user is ambiguous (RFC 6750 section 3.1)."""

    detail = "Send exactly one access token, in one Authorization header."


class InvalidTokenError(DoableError):
    """The token is not valid. The `reason` goes into the log only. A `detail` of its own may only state its length."""

    detail = "The access token is invalid or has expired; get a new one and try again."

    def __init__(self, reason: str, detail: str | None = None) -> None:
        """Store `reason`, with no part of the token but a signed issuer or audience, and `detail`, usually constant."""
        super().__init__(detail)
        self.reason = reason


class NotTheOwnerError(DoableError):
    """The path names another user than the token."""

    detail = "This token has no access to the user in the path; use your own id, or 'me'."


class TaskNotFoundError(DoableError):
    """The caller has no task with this id."""

    detail = "There is no task with this id."


class VersionMismatchError(DoableError):
    """The task or list, `document`, is not at the version that the client expects, so nothing was written."""

    def __init__(self, detail: str, document: str) -> None:
        """Store the reason, and the JSON of the current task or list."""
        super().__init__(detail)
        self.document = document


class ListNotFoundError(DoableError):
    """The caller has no list with this id."""

    detail = "There is no list with this id."


class UidInTrashError(DoableError):
    """The client created an item with the uid of an item in the trash."""

    def __init__(self, noun: str) -> None:
        """State the `noun`, task or list."""
        super().__init__(
            f"A {noun} with this uid is in the trash; restore it, or remove it permanently and create the {noun} again."
        )


class TaskQuotaError(DoableError):
    """The caller has the maximum number of live tasks."""

    noun = "tasks"

    def __init__(self, quota: int) -> None:
        """State the `quota`, a number of tasks."""
        super().__init__(f"You have {quota:,} {self.noun}, the maximum for one user; delete some and try again.")


class ListQuotaError(TaskQuotaError):
    """The caller has the maximum number of live lists."""

    noun = "lists"


class TrashFullError(DoableError):
    """The caller's trash contains the maximum number of tasks and lists."""

    def __init__(self, quota: int) -> None:
        """State the `quota`, a number of tasks and lists."""
        super().__init__(
            f"This deletion would exceed the maximum of {quota:,} tasks and lists in your trash; empty the trash "
            "(DELETE /api/me/trash) or restore tasks from it, and try again."
        )


class SuccessorChangedError(DoableError):
    """A completed task cannot be reopened, because its successor in the series, `document`, has changed."""

    detail = "The next task of the series has changed; delete it, or send repeat: null in the same request."

    def __init__(self, document: str) -> None:
        """Store the JSON of the successor."""
        super().__init__()
        self.document = document


class NothingToSkipError(DoableError):
    """The task has no occurrence that can be skipped. `detail` says why."""


class SyncPositionGoneError(DoableError):
    """The change feed cannot continue from the client's position.

    `newest` is the caller's current position: the beginning (empty before the first write) and the revision.
    """

    detail = "The changes since this position are no longer known; read everything again with since=0."

    def __init__(self, beginning: str = "", revision: int = 0) -> None:
        """Store the caller's current position."""
        super().__init__()
        self.newest = (beginning, revision)


class BatchFailedError(DoableError):
    """An operation of an atomic batch failed, so none took effect. `index` counts from 0; `cause` is its own error."""

    def __init__(self, index: int, cause: DoableError) -> None:
        """State the operation's number and its own reason."""
        super().__init__(f"No operation took effect, because operation {index} (counted from 0) failed: {cause.detail}")
        self.index = index
        self.cause = cause


class RequestInProgressError(DoableError):
    """Another request with the same Idempotency-Key is still running. A later retry gets that request's response."""

    detail = "A request with this Idempotency-Key is still running; send it again in a second to get its response."
    retry_after = 1


class IdempotencyKeyReusedError(DoableError):
    """The Idempotency-Key was used before, with another body or query."""

    detail = "This Idempotency-Key was used before with another body or query; use a new key for each new write."


class IdempotencyFullError(DoableError):
    """The stored responses to the caller's Idempotency-Keys reach a quota."""

    def __init__(self, keys: int, size: int) -> None:
        """State the quotas: a number of `keys`, and the total `size` of their responses in bytes."""
        super().__init__(
            f"The stored responses to your Idempotency-Keys of the last 24 hours reach {keys:,} keys or {size:,} "
            "bytes, the maximum for one user; send the request without a key, or wait until older responses expire."
        )


class RateLimitedError(DoableError):
    """The caller or the caller's address exceeded a rate limit. `retry_after` is in seconds."""

    detail = "Too many requests; try again in {} seconds."

    def __init__(self, retry_after: int) -> None:
        """Store the number of seconds until the next try, at least 1."""
        super().__init__(self.detail.format(retry_after))
        self.retry_after = retry_after


class TooManyStreamsError(RateLimitedError):
    """The caller, or all callers of this worker, have the maximum number of open event streams."""

    detail = "Too many event streams are open; close one, or try again later."


class TooManyHeavyRequestsError(RateLimitedError):
    """The caller has too many heavy requests in flight, and none ended in time. `retry_after` is in seconds."""

    detail = "Too many of your lists without limit, counts, searches, exports or imports are running; try again later."


class UnsupportedMediaTypeError(DoableError):
    """The body's media type, charset or content coding is not supported. `header` names the supported ones."""

    def __init__(self, detail: str, header: str, value: str) -> None:
        """Store the sentence and the header of the response (RFC 9110 section 15.5.16)."""
        super().__init__(detail)
        self.header = (header, value)


class MalformedInputError(DoableError):
    """The body is not JSON, not UTF-8, or nested too deeply."""

    detail = "The request body is not valid JSON."


class InvalidInputError(DoableError):
    """The input is readable, but breaks a rule. `errors` contains an entry for each invalid field."""

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
    """A dependency is temporarily unavailable. The `kind`, such as `pool`, is for logs and metrics, not for clients."""

    detail = "The service is temporarily unavailable; try again in a moment."

    def __init__(self, kind: str, retry_after: int | None = None) -> None:
        """Store `kind`, and the seconds until the request may succeed; None if unknown."""
        super().__init__()
        self.kind = kind
        self.retry_after = retry_after


class KeyUnknownError(UnavailableError):
    """A token's key is unknown, and the issuer cannot be asked yet. The token may be valid, or its key id invented."""
