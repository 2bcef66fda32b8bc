"""A user: a row made from a verified token's claims, the owner of tasks and the counter of their writes."""

from __future__ import annotations

from typing import ClassVar

from tortoise import fields

from service.models.scoping import OwnedModel, ScopedManager


class UserManager(ScopedManager["User"]):
    """Closed to every query; a user's row is written by the statements of `UserTasks`."""


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
