"""The export route: stream all lists and tasks of a user as one file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timezone
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sanic import Blueprint
from sanic.exceptions import BadRequest

from service.errors import FieldError, InvalidInputError
from service.lists import schemas as lists
from service.lists.caller import lists_of
from service.tasks import schemas
from service.tasks.caller import tasks_of
from service.tasks.schemas import EXAMPLE
from service.transfer.archive import Archive
from service.transfer.formats import FORMATS, Format, table
from service.web import media_types, parameters, streaming
from service.web.openapi.shapes import OWNED, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("exports", url_prefix="/api/<user_id:str>/export")


class ExportParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of the export."""

    format: Annotated[
        Literal["json", "csv", "ical"] | UnsetType,
        Meta(extra={"rule": "json, csv or ical"}, description="The format of the file. Without it, the `Accept`"
             " header selects the format; the default is json."),
    ] = UNSET  # fmt: skip
    bom: Annotated[
        bool,
        Meta(extra={"rule": "1 or 0; 1 only with csv"}, description="Whether a CSV file begins with a byte order mark."
             " Excel needs the mark to display non-ASCII letters."),
    ] = False  # fmt: skip


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


class ExportedList(lists.List, kw_only=True):
    """A list. A deleted list has `deleted_at`."""

    deleted_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET


class UserExport(Struct, kw_only=True):
    """All data of one user."""

    format: Literal["doable-export"]
    version: Annotated[int, Meta(ge=2, le=2)]
    exported_at: Annotated[datetime, Meta(tz=True)]
    user: ExportedUser | None
    lists: list[ExportedList]
    tasks: list[ExportedTask]


EXPORT = {
    "format": "doable-export",
    "version": 2,
    "exported_at": "2026-12-01T12:00:00.000000Z",
    "user": {
        "id": "dFz1UQm3T0yLbXkA",
        "email": "ada@example.com",
        "name": "Ada",
        "created_at": "2026-12-01T09:30:00.000000Z",
        "revision": 42,
    },
    "lists": [lists.EXAMPLE],
    "tasks": [EXAMPLE],
}


@blueprint.get("/", unquote=True, ctx_description=Description(
    "exportTasks", "Export and import", "Export everything",
    "Streams all lists and tasks as a file. JSON contains everything, including the trash. CSV contains the tasks, "
    "including the trash, and the names of their lists. Both can be imported again. iCalendar contains the live tasks "
    "as VTODO, which repeat by RRULE. If the service fails during the export, the response ends early, without its "
    "last chunk.",
    {200: Answer("The file.", UserExport, EXPORT, ("Content-Disposition",),
                 others=tuple(form.media_type for form in FORMATS.values())[1:])},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=ExportParameters,
))  # fmt: skip
async def export_tasks(request: ApiRequest) -> None:
    """Stream all lists and tasks of the caller as a file."""
    sent = parameters.read(request.query_string, ExportParameters)
    form = _accepted(request) if sent.format is UNSET else FORMATS[sent.format]
    name = f"doable-tasks-{datetime.now(timezone.utc):%Y-%m-%d}.{form.extension}"
    media_type = form.media_type if form.extension == "json" else f"{form.media_type}; charset=utf-8"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if sent.format is UNSET:
        headers["Vary"] = "Accept"
    written = _pieces(request, form, marked=sent.bom)
    async with aclosing(request.app.ctx.admission.paced(request.caller.user_id, written)) as pieces:
        await streaming.send(request, pieces, media_type, headers)


def _pieces(request: ApiRequest, form: Format, *, marked: bool) -> AsyncIterator[bytes]:
    own = Archive(lists_of(request), tasks_of(request))
    if not marked:
        return form.write(own)
    if form is not FORMATS["csv"]:
        raise InvalidInputError([FieldError("bom", "works with CSV only; add format=csv")])
    return table.write(own, marked=True)


def _accepted(request: ApiRequest) -> Format:
    """Return the format that the Accept header prefers; by default the first. Raises BadRequest for a malformed one."""
    by_media_type = {form.media_type: form for form in FORMATS.values()}
    accept = ",".join(request.headers.getall("accept", ()))
    try:
        return by_media_type[media_types.preferred(accept, [*by_media_type])]
    except ValueError as error:
        raise BadRequest(str(error)) from None
