"""The import route: create the lists and up to 10,000 tasks of a file, all of them or none."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.errors import InvalidInputError
from service.idempotency import replay
from service.tasks.caller import quotas_of
from service.transfer.formats import document, lines, table
from service.transfer.formats.items import ImportedList, ImportedTask
from service.transfer.uploads import Room, Uploads
from service.transfer.writes import KeyedImport, ReferenceFaultError, Sent, UserImport
from service.web import conditions, media_types, parameters, responses
from service.web.openapi.shapes import KEYED, WITH_BODY, Answer, Body, Description
from service.web.protocol import DeadlineProtocol
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("imports", url_prefix="/api/<user_id:str>/import")

MAXIMUM_BODY = 32 * 1024 * 1024  # bytes
READ_TIMEOUT = 60.0  # seconds until the whole body has arrived, including the wait for memory
READERS: dict[str, Callable[[bytes], Iterator[lines.Line | None]]] = {
    "application/json": document.read,
    "text/csv": table.read,
}


class ImportParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of the import."""

    on_conflict: Annotated[
        Literal["create", "skip"],
        Meta(extra={"rule": "create or skip"}, description="`skip` skips a list or task if you have a live or"
             " deleted one with the same `uid`, and a task without a `uid` if you have a task with the same title and"
             " `created_at`. `create` creates a second one, with a new `uid` if you have the old one. If you already"
             " have the series of a repeating task, the new series gets a new UUID and new uids."),
    ] = "create"  # fmt: skip


class ImportResult(Struct):
    """The number of created tasks, and the number of skipped ones."""

    imported: Annotated[int, Meta(ge=0)]
    skipped: Annotated[int, Meta(ge=0)]


class TaskImport(Struct, kw_only=True, forbid_unknown_fields=True):
    """A file to import, such as an export. Only its lists and tasks are read."""

    tasks: Annotated[list[ImportedTask], Meta(max_length=10_000)]
    lists: Annotated[list[ImportedList], Meta(max_length=10_000)] = []


@blueprint.post("/", unquote=True, stream=True, ctx_description=Description(
    "importTasks", "Export and import", "Import lists and tasks",
    "Creates lists and up to 10,000 tasks from a JSON or CSV body of at most 32 MiB. If one of them is invalid, "
    "nothing is created. Each gets a new id and keeps its `uid`. A task's `list_id` and `parent_id` are ids within the "
    "file, or uids within the file or of your own lists and tasks. The column `list` of a CSV file contains names of "
    "your lists; a list with a new name is created. Repeating tasks continue their series.",
    {200: Answer("The number of created and skipped tasks.", ImportResult, {"imported": 2, "skipped": 0})},
    (*WITH_BODY, "task_quota_exceeded", "list_quota_exceeded", "too_many_heavy_requests", "trash_full", *KEYED),
    headers=("Idempotency-Key",), query=ImportParameters,
    body=Body(TaskImport, {"titles are enough": {"tasks": [{"title": "Water the plants"}, {"title": "Rest"}]}},
              others=("text/csv",)),
))  # fmt: skip
async def import_tasks(request: ApiRequest) -> HTTPResponse:
    """Create all tasks of a file, or none of them."""
    conditions.refuse(request, "an import creates tasks")
    read = _reader(request)
    uploads: Uploads = request.app.ctx.uploads
    async with uploads.receive(request.caller.user_id) as room:
        await _receive(request, room)
        sent = parameters.read(request.query_string, ImportParameters)
        async with uploads.turn(request.caller.user_id), request.heavy():
            file = await lines.validate(read(request.body))
            caller = request.caller
            own = UserImport(caller.user_id, request.database, email=caller.email, name=caller.name)
            return await replay.once(request, own, KeyedImport, _adding(request, sent, file))


def _adding(
    request: ApiRequest, sent: ImportParameters, file: lines.File
) -> Callable[[UserImport | KeyedImport], Awaitable[HTTPResponse]]:
    async def add(own: UserImport | KeyedImport) -> HTTPResponse:
        skip = sent.on_conflict == "skip"
        arrays = Sent(file.lists, file.tasks, file.references.lists, file.references.parents)
        try:
            added = await own.add_all(arrays, quotas=quotas_of(request), skip_known=skip)
        except ReferenceFaultError as error:
            raise InvalidInputError([file.references.fault(error.outcome, error.place)]) from None
        return responses.json_value(ImportResult(*added))

    return add


def _reader(request: ApiRequest) -> Callable[[bytes], Iterator[lines.Line | None]]:
    """Return the reader for the media type of the body. Raises UnsupportedMediaTypeError."""
    return READERS[media_types.of_body(request, READERS)]


async def _receive(request: ApiRequest, room: Room) -> None:
    """Read the whole body within READ_TIMEOUT. `room` limits the memory of all bodies.

    Sanic responds 413 to a body of more than MAXIMUM_BODY. If Content-Length is too large, it does not read the body.
    """
    protocol = request.http.protocol
    if isinstance(protocol, DeadlineProtocol):
        protocol.read_until(READ_TIMEOUT)
    # Sanic has no limit for a route that reads the body itself. Only a request with a valid token reaches this line.
    request.http.request_max_size = MAXIMUM_BODY
    received = io.BytesIO()  # `getvalue` does not copy the bytes; Sanic's `receive_body` holds them twice
    async for piece in request.http:
        await room.take(len(piece))
        received.write(piece)
    request.body = received.getvalue()
