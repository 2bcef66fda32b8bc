"""Writes under an idempotency key: the request, and the stored result that a repeated request gets."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, NamedTuple

from tortoise import fields

from service.database.scoping import Connection, OwnedModel, ScopedManager
from service.errors import IdempotencyFullError, IdempotencyKeyReusedError, RequestInProgressError
from service.users.models import User

ANSWERS_KEPT = timedelta(hours=24)


class AnswerQuota(NamedTuple):
    """The limits of one user's stored results: the number of keys, and their size in bytes."""

    keys: int
    bytes: int


class Attempt(NamedTuple):
    """A request with an idempotency key. The same key on another `route` (method and path) is another key.

    `digest` identifies the content of the request. `quota` limits the stored results of its user.
    """

    route: str
    key: str
    digest: bytes
    request_id: str
    quota: AnswerQuota


class KeyedScope:
    """The data of one user, written under one idempotency key by a single call of a database function.

    The function stores the result of the write. If the same request was executed before, it returns the stored result
    and `replayed` is true; `answered` is the id of the executed request. A write that raises leaves the key unused.

    Every method that writes also raises RequestInProgressError while another request holds the key,
    IdempotencyKeyReusedError if the key belongs to a request with another digest, and IdempotencyFullError if the
    result would exceed the quota.
    """

    __slots__ = ("_attempt", "_connection", "_owner", "answered", "replayed")

    def __init__(
        self,
        user_id: str,
        connection: Connection,
        attempt: Attempt,
        *,
        email: str | None = None,
        name: str | None = None,
    ) -> None:
        """Bind to the owner, to the connection and to the request."""
        self._owner = (user_id, email, name)
        self._connection = connection
        self._attempt = attempt
        self.answered = attempt.request_id
        self.replayed = False

    @property
    def user_id(self) -> str:
        """The owner's id."""
        return self._owner[0]

    async def _once(self, text: str, *values: object) -> str:
        """Call a function that writes under the key, and return its result as JSON."""
        sent = self._attempt
        row = await self._connection.call(
            text, *self._owner, sent.route, sent.key, sent.digest, sent.request_id, ANSWERS_KEPT, *sent.quota, *values
        )
        if row["outcome"] == "busy":
            raise RequestInProgressError
        if row["outcome"] == "reused":
            raise IdempotencyKeyReusedError
        if row["outcome"] == "full":
            raise IdempotencyFullError(*sent.quota)
        self.replayed, self.answered = row["outcome"] == "again", row["answered"]
        return str(row["answer"])


class IdempotencyKeyManager(ScopedManager["IdempotencyKey"]):
    """A manager that refuses every query; the database functions that `KeyedScope` calls read and write the rows."""


class IdempotencyKey(OwnedModel):
    """The result of a write, for repeated requests. The database's primary key is `(user_id, route, key)`."""

    key = fields.CharField(max_length=255, primary_key=True, description="chosen by the client")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "service.User", related_name="idempotency_keys", on_delete=fields.CASCADE
    )
    route = fields.TextField(description="method and path; the same key on another route is another key")
    body_digest = fields.BinaryField(description="the hash of query and body; the key with another hash is refused")
    request_id = fields.CharField(max_length=128, description="the request that was performed, as named in its errors")
    answer = fields.TextField(description="the result of the database function, as JSON")
    size = fields.IntField(description="the size in bytes for the quota; PostgreSQL computes it")
    created_at = fields.DatetimeField(description="the time of the write; the key expires 24 hours later")

    objects: ClassVar[IdempotencyKeyManager]

    class Meta:
        table = "idempotency_keys"
        manager = IdempotencyKeyManager()


IdempotencyKey.objects = IdempotencyKeyManager(IdempotencyKey)
