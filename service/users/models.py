"""The user: the owner of tasks, with the revision of the owner's writes; and the erasure of a user.

An erasure first makes all data of the user unreachable, in one short transaction. It then removes the rows of the trash
page by page. Until the last page, `erased` in the user's row is the version up to which tasks are erased, and all reads
of the trash exclude these tasks. The daily upkeep removes the rest of an interrupted erasure.
"""

from __future__ import annotations

import time
from typing import ClassVar

from tortoise import fields

from service.database.functions import call
from service.database.scoping import Connection, OwnedModel, ScopedManager, UserScope
from service.tasks.statements import PAGE

LIVE_AT_ONCE = 10_000  # live tasks that one transaction removes; the default of TASK_QUOTA

# If there are more live tasks, LIVE_PAGE removes the others first, so that the transaction of ERASE is always short.
LIVE_PAGE = call("erase_live_page", 3)
ERASE = call("erase_owner", 1)
SWEEP = call("sweep_erased", 2)


class OneUser(UserScope):
    """The erasure of one user. The writes of `UserTasks` create the user's row and advance its revision."""

    async def erase(self, *, within: float) -> bool:
        """Erase the user: tasks, trash, idempotency keys and the row itself. A user without data is not an error.

        Stops after `within` seconds. Returns whether everything is removed; if not, a second call or the daily upkeep
        continues. Raises UnavailableError if the database is not available; a second call continues then too.
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
        """Remove a page of erased tasks and return their number; after the last page, remove the user's row too."""
        row = await self._connection.call(SWEEP, self.user_id, PAGE)
        return int(row["gone"])


class UserManager(ScopedManager["User"]):
    """A manager that refuses every query without a user."""

    def for_user(self, user_id: str, *, using: Connection) -> OneUser:
        """Return the user `user_id`, read and written over the connection `using`."""
        return OneUser(user_id, using)


class User(OwnedModel):
    """One user of this service. This is not the user table of Better Auth, which is often in another database."""

    id = fields.CharField(max_length=255, primary_key=True, description="the token's subject")
    email = fields.CharField(max_length=320, null=True, description="from the token of the last write")
    name = fields.CharField(max_length=255, null=True, description="from the token of the last write")
    created_at = fields.DatetimeField(description="the first write")
    revision = fields.BigIntField(default=0, description="advances by one with each write; every version comes from it")
    written_at = fields.DatetimeField(description="the last write; strictly increases with the revision")
    forgotten = fields.BigIntField(default=0, description="the newest revision whose tombstone has been removed")
    task_count = fields.IntField(default=0, description="live tasks, for the quota; each write updates it")
    trash_count = fields.IntField(default=0, description="tasks in the trash, for the quota; each write updates it")
    answer_count = fields.IntField(default=0, description="stored answers to idempotency keys, for the quota")
    answer_bytes = fields.BigIntField(default=0, description="the size of these answers in bytes, for the quota")
    erased = fields.BigIntField(default=0, description="tasks up to this version are erased but not all removed yet")

    objects: ClassVar[UserManager]

    class Meta:
        table = "users"
        manager = UserManager()


User.objects = UserManager(User)
