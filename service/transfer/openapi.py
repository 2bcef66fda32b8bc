"""OpenAPI descriptions of the export and import routes: parameters, responses and errors."""

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

TAG = "Export and import"


class ExportedUser(Struct, kw_only=True):
    """The user, with the e-mail address and the name from the last token that wrote."""

    id: str
    email: str | None
    name: str | None
    created_at: Annotated[datetime, Meta(tz=True)]
    revision: int


class ExportedTask(schemas.Task, kw_only=True):
    """A task. A deleted task has `deleted_at`."""

    deleted_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET


class UserExport(Struct, kw_only=True):
    """All data of one user."""

    format: Literal["doable-export"]
    version: Annotated[int, Meta(ge=1, le=1)]
    exported_at: Annotated[datetime, Meta(tz=True)]
    user: ExportedUser | None
    tasks: list[ExportedTask]


class TaskImport(Struct, kw_only=True, forbid_unknown_fields=True):
    """A file to import; an export is one. Only its tasks are read."""

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
        "Streams all tasks as a file. JSON and CSV include the trash and can be imported again. iCalendar contains the "
        "live tasks as VTODO. If the service fails during the export, the response ends early, without its last chunk.",
        {200: Answer("The file.", UserExport, EXPORT, ("Content-Disposition",),
                     others=tuple(form.media_type for form in FORMATS.values())[1:])},
        (*OWNED, "too_many_heavy_requests", "validation_error"), query=exports.ExportParameters,
    ),
    ("POST", "/api/{user_id}/import"): Operation(
        "importTasks", TAG, "Import tasks",
        "Creates up to 10,000 tasks from a JSON or CSV body of at most 32 MiB. If a task is invalid, none is created. "
        "Every task gets a new id.",
        {200: Answer("The number of created and skipped tasks.", imports.ImportResult, {"imported": 2, "skipped": 0})},
        (*WITH_BODY, "task_quota_exceeded", "too_many_heavy_requests", "trash_full", *KEYED),
        headers=("Idempotency-Key",), query=imports.ImportParameters,
        body=Body(TaskImport, {"titles are enough": {"tasks": [{"title": "Water the plants"}, {"title": "Rest"}]}},
                  others=("text/csv",)),
    ),
}  # fmt: skip
