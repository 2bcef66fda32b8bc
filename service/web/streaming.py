"""Answers that are sent while they are made: whole, or visibly broken."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from service.errors import UnavailableError
from service.web import middleware
from service.web.request import ApiRequest
from service.web.responses import Answer

logger = logging.getLogger("doable.streaming")


async def send(request: ApiRequest, pieces: AsyncIterator[bytes], media_type: str, headers: dict[str, str]) -> None:
    """Answer 200 with `pieces`, of which there is at least one.

    What the first piece raises becomes a problem as usual. After it the status has left, so the connection is cut
    without the end that chunked coding must have (RFC 9112 section 8): nobody takes a part for the whole. Sending
    waits for the client; how long one may take nothing is the connection's own limit, SEND_TIMEOUT.
    """
    first = await anext(pieces)
    request.streams = True
    response = await request.respond(Answer(None, 200, headers, media_type))
    assert response is not None  # noqa: S101 - Sanic gives back what it was given
    try:
        await response.send(first, end_stream=False)
        if request.method == "HEAD":
            _end_head(request)
            return
        async for piece in pieces:
            await response.send(piece, end_stream=False)
        await response.eof()
    except BaseException as error:
        if transport := request.http.protocol.transport:
            transport.abort()
        fields = {"request_id": request.request_id, "kind": getattr(error, "kind", type(error).__name__)}
        logger.warning("an answer was cut short", extra={"fields": fields})
        if not isinstance(error, UnavailableError):
            raise
    finally:
        middleware.conclude(request, response.status)


async def send_head(request: ApiRequest, media_type: str, headers: dict[str, str]) -> None:
    """Answer HEAD as a stream that has not begun: what GET would send before it, without a length, which it has not."""
    response = await request.respond(Answer(None, 200, headers, media_type))
    assert response is not None  # noqa: S101 - Sanic gives back what it was given
    await response.send(b"", end_stream=False)
    _end_head(request)


def _end_head(request: ApiRequest) -> None:
    request.http.head_response_ignored(b"", end_stream=True)  # Sanic's `eof` awaits it, and it is no coroutine
