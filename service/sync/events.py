"""The event stream route: send a user's changes as server-sent events until the client leaves or its token expires.

The stream repeats the change feed whenever there may be new changes. After an interruption, the client continues from
the last id that it has received. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from sanic import Blueprint

from service.errors import InvalidInputError
from service.sync import stream
from service.sync.feed import SINCE, TOMBSTONE, Change, Since, position
from service.sync.hub import Hub
from service.tasks.caller import tasks_of
from service.users.queryset import SyncPosition
from service.web import parameters, streaming
from service.web.openapi.shapes import OWNED, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("events", url_prefix="/api/<user_id:str>/tasks")

UNKNOWN = SyncPosition("0")  # no history has this beginning, so the stream starts with a reset

EVENT = f"event: task\nid: 64a1b2c3d4e5f-8\ndata: {json.dumps(TOMBSTONE)}\n\n"


class EventParameters(Struct, kw_only=True, forbid_unknown_fields=True, rename={"last_event_id": "lastEventId"}.get):
    """The query parameters of the event stream."""

    since: Annotated[
        Since | UnsetType,
        Meta(
            description=f"The position to start after: {SINCE}. Without it and without `Last-Event-ID`, the stream"
            " starts with the next change.",
            extra={"rule": SINCE},
        ),
    ] = UNSET
    last_event_id: Annotated[
        str,
        Meta(
            description="The id of the last event, for clients that cannot send the header `Last-Event-ID`.",
            extra={"rule": "the id of an event of this stream"},
        ),
    ] = ""


@blueprint.get("/events", unquote=True, ctx_description=Description(
    "streamTaskEvents", "Tasks", "Stream changes",
    "Streams server-sent events. The `id` of `event: task` is a position, and its `data` is a change as in the "
    "change feed. The stream starts after the position in the header `Last-Event-ID`, in `lastEventId` or in "
    "`since`, in this order of priority. Without a position, it starts with the next change. `event: reset` means "
    "that the changes after the position are no longer available: read all tasks again. The stream continues from "
    "the `id` of that event. It ends when the token expires.",
    {200: Answer("The events, until the connection ends. The schema is that of the `data` of one event.",
                 Change, EVENT, media_types=("text/event-stream",))},
    (*OWNED, "too_many_streams", "validation_error"), query=EventParameters,
))  # fmt: skip
async def stream_events(request: ApiRequest) -> None:
    """Stream the caller's changes."""
    since = read_position(request)
    if request.method == "HEAD":
        await streaming.send_head(request, stream.EVENT_STREAM, {**stream.HEADERS})
        return
    hub: Hub = request.app.ctx.live
    with hub.subscribe(tasks_of(request).user_id) as subscription:
        await stream.EventStream(request, hub, subscription).run(since)


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
