"""What makes a write safe to send again: the client's key, what it came with, and the answer it got."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, NamedTuple

import msgspec
from tortoise import fields

from service.errors import IdempotencyFullError, IdempotencyKeyReusedError, RequestInProgressError
from service.models.scoping import OwnedModel, ScopedManager, Speaker
from service.models.user import User

ANSWERS_KEPT = timedelta(hours=24)

# Held until the transaction ends. Who does not get it at once need not wait: the same request is under way.
LOCK = """
SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(chr(31), $1::text, $2::text, $3::text), 0)) AS locked
"""

# A statement of its own, after the lock: only then does it see what the one who held the lock has committed.
FIND = """
SELECT body_digest, status, headers::text AS headers, body FROM idempotency_keys
WHERE user_id = $1 AND route = $2 AND key = $3 AND created_at > now() - $4::interval
"""

# Each answer that is kept makes room first: an old one to the same key goes, and the oldest that have expired. What is
# counted in the owner's row is decided under its lock, which is taken before any key's, here and by the upkeep.
KEEP = """
WITH owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE
), expired AS (
    DELETE FROM idempotency_keys USING owner
    WHERE user_id = $1 AND created_at <= now() - $8::interval AND ((route, key) = ($2, $3) OR (route, key) IN (
        SELECT route, key FROM idempotency_keys WHERE user_id = $1 AND created_at <= now() - $8::interval
        ORDER BY created_at LIMIT 100
    ))
    RETURNING size
), room AS MATERIALIZED (
    SELECT count(*) AS keys, coalesce(sum(size), 0) AS bytes FROM expired
), kept AS (
    INSERT INTO idempotency_keys (user_id, route, key, body_digest, status, headers, body, created_at)
    SELECT $1, $2, $3, $4, $5, $6::text::jsonb, $7, now() FROM owner, room
    RETURNING size
)
UPDATE users SET answer_count = users.answer_count + 1 - room.keys,
    answer_bytes = users.answer_bytes + kept.size - room.bytes
FROM room, kept
WHERE users.id = $1 AND users.answer_count + 1 - room.keys <= $9::int
  AND users.answer_bytes + kept.size - room.bytes <= $10::bigint
RETURNING users.id
"""


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

    def __init__(self, user_id: str, session: Speaker) -> None:
        """Bind to the owner and to the transaction's session."""
        self._user_id = user_id
        self._session = session

    async def find(self, route: str, key: str, digest: bytes) -> StoredAnswer | None:
        """The answer that was given to this key within ANSWERS_KEPT; None if it is new, and the caller's alone now.

        Raises RequestInProgressError while another transaction has the key, IdempotencyKeyReusedError when it came
        with a body of another `digest`.
        """
        row = await self._session.fetch_row(LOCK, self._user_id, route, key)
        if not (row and row["locked"]):
            raise RequestInProgressError
        found = await self._session.fetch_row(FIND, self._user_id, route, key, ANSWERS_KEPT)
        if found is None:
            return None
        if found["body_digest"] != digest:
            raise IdempotencyKeyReusedError
        return StoredAnswer(found["status"], msgspec.json.decode(found["headers"]), found["body"])

    async def keep(self, route: str, key: str, digest: bytes, answer: StoredAnswer, quota: AnswerQuota) -> None:
        """Keep `answer`, in place of one that is too old. The owner must have written something before.

        Raises IdempotencyFullError when more than `quota` would be kept; the transaction must then be undone.
        """
        headers = msgspec.json.encode(answer.headers).decode()
        row = await self._session.fetch_row(
            KEEP, self._user_id, route, key, digest, answer.status, headers, answer.body, ANSWERS_KEPT, *quota
        )
        if row is None:
            raise IdempotencyFullError(*quota)


class IdempotencyKeyManager(ScopedManager["IdempotencyKey"]):
    """Closed to every query; keys are written and read by the statements of this module."""

    def for_user(self, user_id: str, session: Speaker) -> UserKeys:
        """The keys of `user_id`, within the transaction of `session`."""
        return UserKeys(user_id, session)


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
