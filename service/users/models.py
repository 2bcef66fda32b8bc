"""A user: a row made from a verified token's claims, the owner of tasks and the counter of their writes; and its end.

An erasure takes one short transaction after which nothing of the user can be reached, and then removes the rows of the
trash page by page. In between the user's row says in `erased` up to which version tasks are gone: everything that reads
the trash leaves them out, and the daily upkeep removes what an interrupted erasure has left.
"""

from __future__ import annotations

import time
from typing import ClassVar

from tortoise import fields

from service.database.functions import call
from service.database.scoping import Connection, OwnedModel, ScopedManager, UserScope
from service.tasks.statements import PAGE

LIVE_AT_ONCE = 10_000  # live tasks that one transaction removes; as many as the default TASK_QUOTA allows

# Where there are more live tasks, the rest is removed first, so that the transaction that follows is always short.
LIVE_PAGE = call("erase_live_page", 3)
ERASE = call("erase_owner", 1)
SWEEP = call("sweep_erased", 2)


class OneUser(UserScope):
    """One user, whose row the writes of `UserTasks` create and advance."""

    async def erase(self, *, within: float) -> bool:
        """Erase the user: tasks, trash, idempotency keys and the row itself. Also right for a user without data.

        Once the data cannot be reached, its removal goes on for `within` seconds. Returns whether all of it is gone;
        where it is not, a second call and the daily upkeep go on. Raises UnavailableError when the database cannot
        answer now, which a second call resumes as well.
        """
        ends = time.monotonic() + within
        while (await self._connection.call(LIVE_PAGE, self.user_id, LIVE_AT_ONCE, PAGE))["gone"]:
            if time.monotonic() > ends:
                return False
        if not (await self._connection.call(ERASE, self.user_id))["existed"]:
            return True
        while await self.sweep():
            if time.monotonic() > ends:
                return False
        return True

    async def sweep(self) -> int:
        """Remove a page of the erased rows and return how many it had; after the last page the user's row goes too."""
        row = await self._connection.call(SWEEP, self.user_id, PAGE)
        return int(row["gone"])


class UserManager(ScopedManager["User"]):
    """Closed to every query that names no user."""

    def for_user(self, user_id: str, *, using: Connection) -> OneUser:
        """Return the user `user_id`, read and written over the connection `using`."""
        return OneUser(user_id, using)


class User(OwnedModel):
    """One user of this service. Better Auth keeps its own table, often in another database; this is not it."""

    id = fields.CharField(max_length=255, primary_key=True, description="the token's subject")
    email = fields.CharField(max_length=320, null=True, description="as the last writing token claimed it")
    name = fields.CharField(max_length=255, null=True, description="as the last writing token claimed it")
    created_at = fields.DatetimeField(description="the first write")
    revision = fields.BigIntField(default=0, description="advances by one with each write; every version comes from it")
    written_at = fields.DatetimeField(description="the last write; strictly increases with the revision")
    forgotten = fields.BigIntField(default=0, description="the newest revision of a deleted task that is gone for good")
    task_count = fields.IntField(default=0, description="live tasks, kept exact by each write for the quota")
    trash_count = fields.IntField(default=0, description="tasks in the trash, kept exact by each write for the quota")
    answer_count = fields.IntField(default=0, description="kept answers to idempotency keys, for the quota")
    answer_bytes = fields.BigIntField(default=0, description="the size of these answers, for the quota")
    erased = fields.BigIntField(default=0, description="tasks up to this version are erased, and still to be removed")

    objects: ClassVar[UserManager]

    class Meta:
        table = "users"
        manager = UserManager()


User.objects = UserManager(User)
