"""The event stream routes: send a user's changes as server-sent events until the client leaves or its token expires.

A stream repeats its change feed whenever there may be new changes. After an interruption, the client continues from the
last id that it has received. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json

from msgspec import UNSET
from sanic import Blueprint

from service.errors import InvalidInputError
from service.sync import schemas, stream
from service.sync.changes import ITEMS, TASKS, Feed
from service.sync.feed import position
from service.sync.hub import Hub
from service.sync.schemas import EventParameters
from service.tasks.caller import tasks_of
from service.users.queryset import SyncPosition
from service.web import parameters, streaming
from service.web.openapi.shapes import OWNED, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("events", url_prefix="/api/<user_id:str>")

UNKNOWN = SyncPosition("0")  # no history has this beginning, so the stream starts with a reset
PROBLEMS = (*OWNED, "too_many_streams", "validation_error")
SCHEMA = "The events, until the connection ends. The schema is that of the `data` of one event."
HOW_IT_STARTS = (
    "The stream starts after the position in the header `Last-Event-ID`, in `lastEventId` or in `since`, in this order "
    "of priority. Without a position, it starts with the next change. `event: reset` means that the changes after the "
    "position are no longer available: "
)
HOW_IT_ENDS = "The stream continues after the `id` of that event. It ends when the token expires."


def _event(noun: str, data: dict[str, object]) -> str:
    return f"event: {noun}\nid: 64a1b2c3d4e5f-{data['version']}\ndata: {json.dumps(data)}\n\n"


@blueprint.get("/tasks/events", unquote=True, ctx_description=Description(
    "streamTaskEvents", "Tasks", "Stream changes",
    "Streams server-sent events. The `id` of `event: task` is a position, and its `data` is a change as in the "
    f"change feed. {HOW_IT_STARTS}read all tasks again. {HOW_IT_ENDS}",
    {200: Answer(SCHEMA, schemas.Change, _event("task", schemas.TOMBSTONE), media_types=("text/event-stream",))},
    PROBLEMS, query=EventParameters,
))  # fmt: skip
async def stream_task_events(request: ApiRequest) -> None:
    """Stream the changes of the caller's tasks."""
    await _respond(request, TASKS)


@blueprint.get("/events", unquote=True, ctx_description=Description(
    "streamEvents", "Sync", "Stream changes of tasks and lists",
    "Streams server-sent events. The `id` of `event: task` and `event: list` is a position, and the `data` is a change "
    f"as in the change feed of tasks and lists. {HOW_IT_STARTS}read all tasks and lists again. {HOW_IT_ENDS}",
    {200: Answer(SCHEMA, schemas.ItemChange, _event("task", schemas.ITEM_TOMBSTONE),
                 media_types=("text/event-stream",))},
    PROBLEMS, query=EventParameters,
))  # fmt: skip
async def stream_events(request: ApiRequest) -> None:
    """Stream the changes of the caller's tasks and lists."""
    await _respond(request, ITEMS)


async def _respond(request: ApiRequest, feed: Feed) -> None:
    since = read_position(request)
    if request.method == "HEAD":
        await streaming.send_head(request, stream.EVENT_STREAM, {**stream.HEADERS})
        return
    hub: Hub = request.app.ctx.live
    with hub.subscribe(tasks_of(request).user_id) as subscription:
        await stream.EventStream(request, hub, subscription, feed).run(since)


def read_position(request: ApiRequest) -> SyncPosition | None:
    """Return the position to start after; None to start with the next change.

    The header Last-Event-ID has priority, then `lastEventId`, which event-source-polyfill sends instead, then `since`.
    `since` is the last, because a client reconnects with the same URL. An invalid last id results in UNKNOWN, because
    an EventSource does not reconnect after an error. Raises InvalidInputError for a `since` that is not a position.
    """
    sent = parameters.read(request.query_string, EventParameters)
    after = None if sent.since is UNSET else position("since", sent.since)
    last = request.headers.getone("last-event-id", "") or sent.last_event_id
    if not last:
        return after
    try:
        return position("Last-Event-ID", last)
    except InvalidInputError:
        return UNKNOWN
