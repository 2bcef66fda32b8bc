"""What taking everything out and putting it in take, answer and refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.tasks import schemas
from service.tasks.openapi import KEYED
from service.transfer import exports, imports
from service.transfer.formats import FORMATS
from service.transfer.formats.lines import ImportedTask
from service.web.openapi.shapes import EXAMPLE, OWNED, WITH_BODY, Answer, Body, Operation, Operations

TAG = "export and import"


class ExportedUser(Struct, kw_only=True):
    """The user's own row, made from the claims of the last token that wrote."""

    id: str
    email: str | None
    name: str | None
    created_at: Annotated[datetime, Meta(tz=True)]
    revision: int


class ExportedTask(schemas.Task, kw_only=True):
    """A task; one in the trash says since when."""

    deleted_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET


class Export(Struct, kw_only=True):
    """Everything of one user."""

    format: Literal["doable-export"]
    version: Annotated[int, Meta(ge=1, le=1)]
    exported_at: Annotated[datetime, Meta(tz=True)]
    user: ExportedUser | None
    tasks: list[ExportedTask]


class Import(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is read of an export: its tasks."""

    tasks: Annotated[list[ImportedTask], Meta(max_length=10_000)]


EXPORT = {
    "format": "doable-export",
    "version": 1,
    "exported_at": "2026-12-01T12:00:00.000000Z",
    "user": {
        "id": "dFz1UQm3T0yLbXkA",
        "email": "ada@example.com",
        "name": "Ada",
        "created_at": "2026-12-01T09:30:00.000000Z",
        "revision": 7,
    },
    "tasks": [EXAMPLE],
}

OPERATIONS: Operations = {
    ("GET", "/api/{user_id}/export"): Operation(
        "exportTasks", TAG, "Export everything",
        "A file of all tasks, streamed. JSON and CSV hold the trash too, and can be imported; iCalendar holds live "
        "tasks as VTODO. Should the service fail midway, the answer breaks off without its end.",
        {200: Answer("The file.", Export, EXPORT, ("Content-Disposition",),
                     others=tuple(form.media_type for form in FORMATS.values())[1:])},
        (*OWNED, "too_many_heavy_requests", "validation_error"), query=exports.ExportParameters,
    ),
    ("POST", "/api/{user_id}/import"): Operation(
        "importTasks", TAG, "Import tasks",
        "Up to 10,000 tasks in at most 32 MiB, as JSON or CSV: all of them, or none when one breaks a rule. Ids are "
        "assigned anew.",
        {200: Answer("How many were created and skipped.", imports.Imported, {"imported": 2, "skipped": 0})},
        (*WITH_BODY, "task_quota_exceeded", "too_many_heavy_requests", "trash_full", *KEYED),
        headers=("Idempotency-Key",), query=imports.ImportParameters,
        body=Body(Import, {"titles are enough": {"tasks": [{"title": "Water the plants"}, {"title": "Rest"}]}},
                  others=("text/csv",)),
    ),
}  # fmt: skip
