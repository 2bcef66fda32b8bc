"""Writes that are safe to send again: the client's key, the request that it came with, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, NamedTuple

import msgspec
from msgspec import Struct
from tortoise import fields

from service.database.expected import Expected
from service.database.functions import call
from service.database.scoping import Connection, OwnedModel, ScopedManager, UserScope
from service.errors import DoableError, IdempotencyFullError, IdempotencyKeyReusedError, RequestInProgressError
from service.tasks.batch import writes as batch
from service.tasks.batch.writes import Operation, Quotas
from service.tasks.writes import StoredTask, TaskChanges
from service.transfer import writes as importing
from service.users.models import User

ANSWERS_KEPT = timedelta(hours=24)

PERFORM = call("perform_once", 14)
IMPORT = call("import_once", 14)


class AnswerQuota(NamedTuple):
    """How much is kept of one user's answers: so many keys, and so many bytes."""

    keys: int
    bytes: int


class Attempt(NamedTuple):
    """A request under an idempotency key, which means something within its `route` alone: method and path.

    `digest` tells the request from any other one. `quota` bounds the answers that are kept of its user.
    """

    route: str
    key: str
    digest: bytes
    request_id: str
    quota: AnswerQuota


class KeyedWrites(UserScope):
    """The writes of one user under one idempotency key; a request does one of them.

    Each does what its namesake of `UserTasks` or `UserTrash` does, and raises the same, in one call of a database
    function that keeps what became of it. If the same request was done before, it returns what became of it then, and
    says so in `replayed`; `answered` is the id of the request that was done. What raises leaves the key unused.

    Every method also raises RequestInProgressError while another request holds the key, IdempotencyKeyReusedError when
    it came with another digest before, and IdempotencyFullError when there is no room for what would be kept.
    """

    __slots__ = ("_attempt", "answered", "replayed")

    def __init__(
        self,
        user_id: str,
        connection: Connection,
        attempt: Attempt,
        *,
        email: str | None = None,
        name: str | None = None,
    ) -> None:
        """Bind to the owner, to the connection and to what was sent."""
        super().__init__(user_id, connection, email=email, name=name)
        self._attempt = attempt
        self.answered = attempt.request_id
        self.replayed = False

    async def create(self, values: TaskChanges, *, quota: int) -> StoredTask:
        """Create a task."""
        return await self._one(Operation("create", changes=values), Quotas(quota, 0))

    async def toggle(self, task_id: int, expected: Expected | None = None) -> StoredTask:
        """Complete a pending task or reopen a completed one."""
        return await self._one(Operation("complete", task_id, expected=expected), Quotas(0, 0))

    async def complete(self, task_id: int, completed: bool, expected: Expected | None = None) -> StoredTask:  # noqa: FBT001 - what it sets
        """Complete the task, or reopen it."""
        return await self._one(Operation("complete", task_id, {"completed": completed}, expected), Quotas(0, 0))

    async def restore(self, task_id: int, *, quota: int) -> StoredTask:
        """Give a task back from the trash."""
        return await self._one(Operation("restore", task_id), Quotas(quota, 0))

    async def perform(self, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas) -> list[batch.Outcome]:
        """Do many writes in one transaction."""
        outcomes = await self._outcomes(operations, quotas, atomic=atomic)
        return batch.all_or_none(outcomes) if atomic else outcomes

    async def add_all(self, tasks: bytearray, count: int, *, quotas: Quotas, skip_known: bool) -> importing.Added:
        """Create the `count` tasks of a JSON array, or none of them."""
        answer = await self._once(IMPORT, *quotas, skip_known, tasks)
        return importing.read_answer(answer, count, quotas)

    async def _one(self, operation: Operation, quotas: Quotas) -> StoredTask:
        (outcome,) = await self._outcomes([operation], quotas, atomic=True)
        if isinstance(outcome, DoableError):
            raise outcome
        assert outcome is not None  # noqa: S101 - none of these verbs ends in the trash
        found = msgspec.json.decode(outcome, type=_Marks)
        return StoredTask(found.id, found.version, found.uid, outcome)

    async def _outcomes(self, operations: Sequence[Operation], quotas: Quotas, *, atomic: bool) -> list[batch.Outcome]:
        answer = await self._once(PERFORM, *quotas, atomic, batch.encode(operations))
        return batch.read_answer(operations, quotas, answer)

    async def _once(self, text: str, *values: object) -> str:
        """Call a function that writes once, and return its answer."""
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


class _Marks(Struct):
    """What an answer's headers are made of, as the task's JSON has it."""

    id: int
    version: int
    uid: str


class IdempotencyKeyManager(ScopedManager["IdempotencyKey"]):
    """Closed to every query; keys are written and read by the functions of this module."""

    def for_user(
        self, user_id: str, attempt: Attempt, *, using: Connection, email: str | None = None, name: str | None = None
    ) -> KeyedWrites:
        """Return the writes of `user_id` under the key of `attempt`, over the connection `using`."""
        return KeyedWrites(user_id, using, attempt, email=email, name=name)


class IdempotencyKey(OwnedModel):
    """What became of a write, to be answered again. The database's primary key is `(user_id, route, key)`."""

    key = fields.CharField(max_length=255, primary_key=True, description="as the client chose it")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "service.User", related_name="idempotency_keys", on_delete=fields.CASCADE
    )
    route = fields.TextField(description="method and path, in which the key means something")
    body_digest = fields.BinaryField(description="of query and body: the same key with others is refused")
    request_id = fields.CharField(max_length=128, description="the request that was done; errors in its answer name it")
    answer = fields.TextField(description="what the function that wrote returned, as JSON")
    size = fields.IntField(description="what it counts in bytes; PostgreSQL keeps it")
    created_at = fields.DatetimeField(description="when it was done; it is forgotten 24 hours later")

    objects: ClassVar[IdempotencyKeyManager]

    class Meta:
        table = "idempotency_keys"
        manager = IdempotencyKeyManager()


IdempotencyKey.objects = IdempotencyKeyManager(IdempotencyKey)
