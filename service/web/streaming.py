"""Stream responses. A response that fails is aborted, so that clients notice that it is incomplete."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from service.errors import DoableError, UnavailableError
from service.web import middleware
from service.web.request import ApiRequest
from service.web.responses import Answer

logger = logging.getLogger("doable.streaming")


async def send(request: ApiRequest, pieces: AsyncIterator[bytes], media_type: str, headers: dict[str, str]) -> None:
    """Answer 200 with `pieces`, at least one.

    An error of the first piece becomes a problem response as usual. After the first piece the status is already sent,
    so an error closes the connection without the last chunk (RFC 9112 section 8), and the client sees that the response
    is incomplete. Sending waits for the client, and the connection's SEND_TIMEOUT limits that wait.
    """
    first = await anext(pieces)
    request.streams = True
    response = await request.respond(Answer(None, 200, headers, media_type))
    assert response is not None  # noqa: S101 - Sanic returns its argument
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
        is_bug = isinstance(error, Exception) and not isinstance(error, DoableError)
        level = logging.ERROR if is_bug else logging.WARNING
        logger.log(level, "a response was aborted", exc_info=error if is_bug else None, extra={"fields": fields})
        if not isinstance(error, UnavailableError):
            raise
    finally:
        middleware.conclude(request, response.status)


async def send_head(request: ApiRequest, media_type: str, headers: dict[str, str]) -> None:
    """Answer HEAD with the head of a stream, as GET would send it, without a Content-Length."""
    response = await request.respond(Answer(None, 200, headers, media_type))
    assert response is not None  # noqa: S101 - Sanic returns its argument
    await response.send(b"", end_stream=False)
    _end_head(request)


def _end_head(request: ApiRequest) -> None:
    request.http.head_response_ignored(b"", end_stream=True)  # `response.eof()` would await this
