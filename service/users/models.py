"""The user: the owner of tasks, with the revision of the owner's writes."""

from __future__ import annotations

from typing import ClassVar

from tortoise import fields

from service.database.scoping import Connection, OwnedModel, ScopedManager
from service.users.queryset import UserQuerySet


class UserManager(ScopedManager["User"]):
    """A manager that refuses every query without a user."""

    def for_user(self, user_id: str, *, using: Connection) -> UserQuerySet:
        """Return the user `user_id`, read and written over the connection `using`."""
        return UserQuerySet(self.model, using, (user_id, None, None))


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
    trash_count = fields.IntField(default=0, description="tasks and lists in the trash, for the quota")
    list_count = fields.IntField(default=0, description="live lists, for the quota; each write of a list updates it")
    has_subtasks = fields.BooleanField(default=False, description="whether a task has ever had a subtask")
    answer_count = fields.IntField(default=0, description="stored answers to idempotency keys, for the quota")
    answer_bytes = fields.BigIntField(default=0, description="the size of these answers in bytes, for the quota")
    erased = fields.BigIntField(default=0, description="tasks up to this version are erased but not all removed yet")

    objects: ClassVar[UserManager]

    class Meta:
        table = "users"
        manager = UserManager()


User.objects = UserManager(User)
