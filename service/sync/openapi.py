"""What the routes that keep a client's copy up to date take, answer and refuse."""

from __future__ import annotations

import json

from service.sync import events, feed
from service.tasks.openapi import ALL, TAG
from service.web.openapi.shapes import EXAMPLE, OWNED, Answer, Operation, Operations

# Types and schemas that no operation names by itself.
TYPES = (feed.Tombstone,)
SCHEMAS = {"Change": feed.CHANGE}

TOMBSTONE = {"id": 41, "uid": "019aceef-9a40-7aa0-9d52-0c4b7e1f3a86", "version": 8, "deleted": True}
EVENT = f"event: task\nid: 64a1b2c3d4e5f-8\ndata: {json.dumps(TOMBSTONE)}\n\n"

OPERATIONS: Operations = {
    ("GET", f"{ALL}/changes"): Operation(
        "listTaskChanges", TAG, "Read what changed",
        "What changed after the position `since`, in the order of versions, each task once, at its newest state. Send "
        "`next` as `since` of the next request, at once while `has_more` is true. With `since=0` it is a full sync: "
        "all live tasks, to begin a new copy with. 410 says to begin anew.",
        {200: Answer("A page of changes; an empty one when nothing changed.", feed.TaskChangePage,
                     {"changes": [EXAMPLE, TOMBSTONE], "next": "64a1b2c3d4e5f-8", "has_more": False})},
        (*OWNED, "sync_position_gone", "validation_error"), query=feed.ChangeParameters,
    ),
    ("GET", f"{ALL}/events"): Operation(
        "streamTaskEvents", TAG, "Listen to changes",
        "Server-sent events: `event: task`, its `id` a position, its `data` a change as in the change feed. Begins "
        "after the header `Last-Event-ID`, else after `lastEventId`, else after `since`, else now. `event: reset` "
        "says that what came after the position is not known any more: read everything again, the stream goes on "
        "from its id. Ends when the token expires.",
        {200: Answer("The events, for as long as you listen. The schema is that of the `data` of one event.",
                     feed.Change, EVENT, media_types=("text/event-stream",))},
        (*OWNED, "too_many_streams", "validation_error"), query=events.EventParameters,
    ),
}  # fmt: skip
