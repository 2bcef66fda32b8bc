"""Live events: a user's changes as server-sent events, for as long as the client listens and its token holds.

The stream is the change feed, read again whenever there may be something new. Where it ends, for whatever reason, the
client goes on from the last id that it has seen. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from sanic import Blueprint

from service.errors import InvalidInputError
from service.sync import stream
from service.sync.changes import SyncPosition
from service.sync.feed import SINCE, Since, position
from service.sync.hub import Hub
from service.web import parameters, streaming
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("events", url_prefix="/api/<user_id:str>/tasks")

UNKNOWN = SyncPosition("0")  # no user's beginning, so that the stream begins with a reset


class EventParameters(Struct, kw_only=True, forbid_unknown_fields=True, rename={"last_event_id": "lastEventId"}.get):
    """Where to begin."""

    since: Annotated[
        Since | UnsetType,
        Meta(description=f"{SINCE}; without it and without Last-Event-ID events begin now", extra={"rule": SINCE}),
    ] = UNSET
    last_event_id: Annotated[
        str,
        Meta(
            description="The id of the last event, from clients that cannot send the header Last-Event-ID.",
            extra={"rule": "the id of an event of this stream"},
        ),
    ] = ""


@blueprint.get("/events", unquote=True)
async def stream_events(request: ApiRequest) -> None:
    """The caller's changes, one after the other."""
    since = read_position(request)
    if request.method == "HEAD":
        await streaming.send_head(request, stream.EVENT_STREAM, {**stream.HEADERS})
        return
    hub: Hub = request.app.ctx.live
    with hub.subscribe(request.tasks.user_id) as subscription:
        await stream.EventStream(request, hub, subscription).run(since)


def read_position(request: ApiRequest) -> SyncPosition | None:
    """Return the position to begin after; None for now.

    The header Last-Event-ID comes first, then `lastEventId`, which event-source-polyfill sends in its place, then
    `since`: a client that reconnects sends the same URL again. A last id that cannot be read gives UNKNOWN, because
    event sources never come back after an error. Raises InvalidInputError for a `since` that is not a position.
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
