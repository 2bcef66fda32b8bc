"""The task model. `Task.objects.for_user(...)` is the only access to tasks."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField

from service.database.scoping import Connection, OwnedModel, ScopedManager
from service.tasks.writes import UserTasks
from service.users.models import User


class Priority(IntEnum):
    """The urgency of a task, stored as a number so that it can be sorted."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class TaskManager(ScopedManager["Task"]):
    """A manager that refuses every query without a user."""

    def for_user(
        self, user_id: str, *, using: Connection, email: str | None = None, name: str | None = None
    ) -> UserTasks:
        """Return the tasks of `user_id` (1 to 255 characters), read and written over the connection `using`.

        Each write updates the user's row with `email` and `name`.
        """
        return UserTasks(self.model, using, (user_id, email, name))


class Task(OwnedModel):
    """A task. The primary key in the database is `(user_id, id)`; the Tortoise model has only `id`."""

    id = fields.BigIntField(
        primary_key=True, generated=False, description="the owner's revision at the task's creation; never reused"
    )
    uid = fields.UUIDField(default=None, description="a UUID that is unique among all tasks; immutable")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "service.User", related_name="tasks", on_delete=fields.CASCADE
    )
    title = fields.CharField(max_length=200)
    title_key = fields.TextField(default="", description="the folded title, for search and sorting")
    description = fields.CharField(max_length=1000, null=True)
    description_key = fields.TextField(null=True, description="the folded description, for search")
    completed = fields.BooleanField(default=False)
    completed_at = fields.DatetimeField(null=True, description="the time of completion; null while pending")
    priority = fields.IntEnumField(Priority, default=Priority.NONE)
    tags: fields.Field[list[str]] = ArrayField("text", default=list)
    tag_keys: fields.Field[list[str]] = ArrayField("text", default=list, description="the folded tags, for search")
    due_date = fields.DateField(null=True, description="a calendar day without a time zone; excludes due_at")
    due_at = fields.DatetimeField(null=True, description="a point in time; excludes due_date")
    list_id = fields.BigIntField(null=True, description="the list; null for the inbox")
    parent_id = fields.BigIntField(null=True, description="the task that this is a subtask of; null at the top level")
    position = fields.CharField(max_length=100, null=True, description="the place among siblings; null: newest first")
    followed_at = fields.DatetimeField(
        null=True, description="updated_at, if the task has only followed its list, parent or siblings"
    )
    recurrence = fields.TextField(
        null=True, description="the members repeat to next_due of the JSON; null if it does not repeat"
    )
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    version = fields.BigIntField(description="the owner's revision at this task's last change")
    deleted_at = fields.DatetimeField(null=True, description="the time of deletion; null while live")
    document = fields.TextField(null=True, description="the task as JSON, for responses; built at read if null")

    objects: ClassVar[TaskManager]

    class Meta:
        table = "tasks"
        manager = TaskManager()


Task.objects = TaskManager(Task)
