"""Putting tasks in: a file of up to 10,000, all of it or nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Literal
from weakref import WeakValueDictionary

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.api import conditions, idempotency, listing, media_types, responses
from service.api.formats import document, lines, table
from service.api.protocol import DeadlineProtocol
from service.api.requests import ApiRequest
from service.errors import UnavailableError
from service.models import UserTasks

blueprint: Blueprint = Blueprint("imports", url_prefix="/api/<user_id:str>/import")

MAXIMUM_BODY = 32 * 1024 * 1024  # bytes
READ_TIMEOUT = 60.0  # seconds for all of it to arrive, the wait for a turn included
AT_ONCE = 2  # in each worker: each may hold some 100 MB for a moment
TURN_TIMEOUT = 10.0  # seconds
READERS: dict[str, Callable[[bytes], Iterator[lines.Line]]] = {
    "application/json": document.read,
    "text/csv": table.read,
}


class Turns:
    """Who may import now: AT_ONCE of this worker, and one of each user, whose slow files keep nobody else out."""

    def __init__(self) -> None:
        """Let everybody in."""
        self._all = asyncio.Semaphore(AT_ONCE)
        self._own: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def take(self, user_id: str) -> AsyncIterator[None]:
        """A turn; the bodies of those who wait stay outside. Raises UnavailableError after TURN_TIMEOUT."""
        own = self._own.setdefault(user_id, asyncio.Lock())
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(TURN_TIMEOUT):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._all)
            except TimeoutError:
                raise UnavailableError("imports") from None
            yield


class ImportParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to do about tasks that are there already."""

    on_conflict: Annotated[
        Literal["create", "skip"],
        Meta(extra={"rule": "create or skip"}, description="`skip` leaves out a task when there is one with the same"
             " title and `created_at` already, live or in the trash; `create` makes another."),
    ] = "create"  # fmt: skip


class Imported(Struct):
    """How many tasks were created, and how many were there already."""

    imported: Annotated[int, Meta(ge=0)]
    skipped: Annotated[int, Meta(ge=0)]


@blueprint.post("/", unquote=True, stream=True)
async def import_tasks(request: ApiRequest) -> HTTPResponse:
    """Create all tasks of a file, or none."""
    conditions.refuse(request, "an import creates tasks")
    read = _reader(request)
    async with _turn(request):
        await _receive(request)
        found, sent = read(request.body), listing.parameters(request.query_string, ImportParameters)
        tasks, count = await lines.validate(found)

        async def add(own: UserTasks) -> HTTPResponse:
            quota, skip_known = request.settings.task_quota, sent.on_conflict == "skip"
            return responses.json_value(Imported(*await own.add_all(tasks, count, quota=quota, skip_known=skip_known)))

        return await idempotency.once(request, request.tasks, add)


def _reader(request: ApiRequest) -> Callable[[bytes], Iterator[lines.Line]]:
    """What reads the media type of the body. Raises UnsupportedMediaTypeError."""
    return READERS[media_types.of_body(request, READERS)]


def _turn(request: ApiRequest) -> contextlib.AbstractAsyncContextManager[None]:
    """The caller's turn, and READ_TIMEOUT for the body to come, the wait for the turn included."""
    protocol = request.http.protocol
    if isinstance(protocol, DeadlineProtocol):
        protocol.read_until(READ_TIMEOUT)
    turns: Turns = request.app.ctx.import_turns
    return turns.take(request.caller.user_id)


async def _receive(request: ApiRequest) -> None:
    """Read the whole body. Beyond MAXIMUM_BODY Sanic answers 413, of an announced length before any of it has come."""
    # Sanic lifts its limit for a route that reads the body itself; nobody without a token gets as far as here.
    request.http.request_max_size = MAXIMUM_BODY
    await request.receive_body()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
