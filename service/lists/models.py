"""The list model. `List.objects.for_user(...)` is the only access to lists."""

from __future__ import annotations

from typing import ClassVar

from tortoise import fields

from service.database.scoping import Connection, OwnedModel, ScopedManager
from service.lists.writes import UserLists
from service.users.models import User


class ListManager(ScopedManager["List"]):
    """A manager that refuses every query without a user."""

    def for_user(
        self, user_id: str, *, using: Connection, email: str | None = None, name: str | None = None
    ) -> UserLists:
        """Return the lists of `user_id` (1 to 255 characters), read and written over the connection `using`.

        Each write updates the user's row with `email` and `name`.
        """
        return UserLists(self.model, using, (user_id, email, name))


class List(OwnedModel):
    """A list of tasks. The primary key in the database is `(user_id, id)`; the Tortoise model has only `id`."""

    id = fields.BigIntField(
        primary_key=True, generated=False, description="the owner's revision at the list's creation; never reused"
    )
    uid = fields.UUIDField(default=None, description="a UUID that is unique among the owner's lists; immutable")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "service.User", related_name="lists", on_delete=fields.CASCADE
    )
    name = fields.CharField(max_length=100)
    color = fields.CharField(max_length=7, null=True, description="#rrggbb in lower case")
    position = fields.CharField(max_length=100, null=True, description="the place among the lists; null: newest first")
    archived = fields.BooleanField(default=False, description="whether lists of tasks leave its tasks out")
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    version = fields.BigIntField(description="the owner's revision at this list's last change")
    deleted_at = fields.DatetimeField(null=True, description="the time of deletion; null while live")

    objects: ClassVar[ListManager]

    class Meta:
        table = "lists"
        manager = ListManager()


List.objects = ListManager(List)
