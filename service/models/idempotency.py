"""What makes a write safe to send again: the client's key, what it came with, and the answer it got."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, NamedTuple

import msgspec
from tortoise import fields

from service.errors import IdempotencyFullError, IdempotencyKeyReusedError, RequestInProgressError
from service.models.functions import call
from service.models.scoping import Connection, OwnedModel, ScopedManager
from service.models.user import User

ANSWERS_KEPT = timedelta(hours=24)

FIND = call("find_answer", 4)
KEEP = call("keep_answer", 10)


class StoredAnswer(NamedTuple):
    """An answer as it is given again: its status, its own headers and its body."""

    status: int
    headers: dict[str, str]
    body: str


class AnswerQuota(NamedTuple):
    """How much is kept of one user's answers: so many keys, and so many bytes."""

    keys: int
    bytes: int


class UserKeys:
    """The keys of one user, within one transaction: what it writes and the key that it is written by stand together."""

    __slots__ = ("_session", "_user_id")

    def __init__(self, user_id: str, session: Connection) -> None:
        """Bind to the owner and to the transaction's session."""
        self._user_id = user_id
        self._session = session

    async def find(self, route: str, key: str, digest: bytes) -> StoredAnswer | None:
        """The answer that was given to this key within ANSWERS_KEPT; None if it is new, and the caller's alone now.

        Raises RequestInProgressError while another transaction has the key, IdempotencyKeyReusedError when it came
        with a body of another `digest`.
        """
        found = await self._session.call(FIND, self._user_id, route, key, ANSWERS_KEPT)
        if found["outcome"] == "busy":
            raise RequestInProgressError
        if found["outcome"] == "new":
            return None
        if found["digest"] != digest:
            raise IdempotencyKeyReusedError
        return StoredAnswer(found["status"], msgspec.json.decode(found["headers"]), found["body"])

    async def keep(self, route: str, key: str, digest: bytes, answer: StoredAnswer, quota: AnswerQuota) -> None:
        """Keep `answer`, in place of one that is too old.

        Raises IdempotencyFullError when more than `quota` would be kept; the transaction must then be undone.
        """
        headers = msgspec.json.encode(answer.headers).decode()
        row = await self._session.call(
            KEEP, self._user_id, route, key, digest, answer.status, headers, answer.body, ANSWERS_KEPT, *quota
        )
        if not row["kept"]:
            raise IdempotencyFullError(*quota)


class IdempotencyKeyManager(ScopedManager["IdempotencyKey"]):
    """Closed to every query; keys are written and read by the statements of this module."""

    def for_user(self, user_id: str, *, using: Connection) -> UserKeys:
        """The keys of `user_id`, within the transaction whose session is `using`."""
        return UserKeys(user_id, using)


class IdempotencyKey(OwnedModel):
    """An answer to be given again. The database's primary key is `(user_id, route, key)`."""

    key = fields.CharField(max_length=255, primary_key=True, description="as the client chose it")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "service.User", related_name="idempotency_keys", on_delete=fields.CASCADE
    )
    route = fields.TextField(description="method and path, in which the key means something")
    body_digest = fields.BinaryField(description="of the request's body: the same key with another one is refused")
    status = fields.SmallIntField(description="the answer's status")
    headers = fields.JSONField[dict[str, str]](description="the answer's own headers, such as Location and ETag")
    body = fields.TextField(description="the answer's body, byte for byte")
    size = fields.IntField(description="what it counts in bytes; PostgreSQL keeps it")
    created_at = fields.DatetimeField(description="when the answer was given; it is forgotten 24 hours later")

    objects: ClassVar[IdempotencyKeyManager]

    class Meta:
        table = "idempotency_keys"
        manager = IdempotencyKeyManager()


IdempotencyKey.objects = IdempotencyKeyManager(IdempotencyKey)
