"""A user: a row made from a verified token's claims, the owner of tasks and the counter of their writes."""

from __future__ import annotations

from typing import ClassVar

from tortoise import fields

from service.models.scoping import OwnedModel, ScopedManager, database

# The foreign keys cascade, so what refers to the user goes with the row, whatever was added to it meanwhile. The tasks
# are locked first, in the order of their ids, because all other writers take the task before the owner.
ERASE = """
WITH target AS (
    SELECT id FROM tasks WHERE user_id = $1 ORDER BY id FOR UPDATE
)
DELETE FROM users WHERE id = $1 AND (SELECT count(*) FROM target) >= 0
"""


class UserManager(ScopedManager["User"]):
    """Closed to every query; a user's row is written by the statements of `UserTasks`, and erased here."""

    async def erase(self, user_id: str) -> None:
        """Remove the user's row and all that is theirs: tasks, trash, idempotency keys. No trace of them stays.

        Whoever never wrote anything has nothing to lose, which is no error. Raises UnavailableError when the database
        cannot answer now; nothing is half-erased then.
        """
        await database().fetch_row(ERASE, user_id)


class User(OwnedModel):
    """One user of this service. Better Auth keeps its own table, often in another database; this is not it."""

    id = fields.CharField(max_length=255, primary_key=True, description="the token's subject")
    email = fields.TextField(null=True, description="as the last writing token claimed it")
    name = fields.TextField(null=True, description="as the last writing token claimed it")
    created_at = fields.DatetimeField(description="the first write")
    revision = fields.BigIntField(default=0, description="advances by one with each write; every version comes from it")
    written_at = fields.DatetimeField(description="the last write; strictly increases with the revision")
    forgotten = fields.BigIntField(default=0, description="the newest revision of a deleted task that is gone for good")
    task_count = fields.IntField(default=0, description="live tasks, kept exact by each write for the quota")

    objects: ClassVar[UserManager]

    class Meta:
        table = "users"
        manager = UserManager()


User.objects = UserManager(User)
