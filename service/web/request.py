"""The request class of this service."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, cast

from sanic import Request
from sanic.compat import Header
from sanic.exceptions import BadURL, SanicException
from sanic.http import Http
from sanic_routing import Route

from service.auth import Identity
from service.config import Settings
from service.database.client import FairClient
from service.web import media_types, syntax
from service.web.limiting import Allowance

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
PLAIN = frozenset({"application/json"})
STAND_IN = "NONE"  # the method of Sanic's stand-in for an unreadable request
MERGEABLE = PLAIN | {"application/merge-patch+json"}
_prefix = os.urandom(8).hex()
_number = count(1)
os.register_at_fork(after_in_child=lambda: globals().update(_prefix=os.urandom(8).hex()))


class ApiRequest(Request[Any, Any]):
    """A request of this API. The middleware sets its `identity`."""

    # The path, with at most one slash at its end: Sanic's router takes a third of a second for 7,000 slashes. Sanic's
    # property decodes the path at each use.
    path = "/"
    identity: Identity | None = None
    # Whether the middleware has already seen the request.
    was_at_gate: bool = False
    # The state of the caller's rate limit, if there is a limit.
    allowance: Allowance | None = None
    # The reason of a failure, for the log only.
    failure: str | None = None
    # The names of the invalid fields, for the log.
    invalid_fields: Sequence[str] = ()

    # Whether the response is a stream, which ends long after its head was sent.
    streams: bool = False

    _request_id: str | None = None

    def __init__(  # noqa: PLR0913, PLR0917 - Sanic's own
        self,
        url_bytes: bytes,
        headers: Header | list[tuple[str, str]],
        version: str,
        method: str,
        transport: Any,  # noqa: ANN401 - Sanic's own
        app: Any,  # noqa: ANN401 - Sanic's own
        head: bytes = b"",
        stream_id: int = 0,
    ) -> None:
        """Create the request. Sanic's stand-in for an unreadable request must not fail again because of its URL."""
        rest = cast("Header", headers), version, method, transport, app, head, stream_id
        try:
            super().__init__(url_bytes, *rest)
        except BadURL:
            if method != STAND_IN:
                raise
            super().__init__(b"*", *rest)
        if (sent := self._parsed_url.path) is not None:  # it is None for an absolute target without a path
            path = sent.decode()
            self.path = f"{path.rstrip('/')}/" if path.endswith("//") else path
        if method != STAND_IN:
            syntax.check_headers(self.headers, version)

    @property
    def request_id(self) -> str:
        """The client's X-Request-ID if it is valid, otherwise a new id."""
        if self._request_id is None:  # not a cached_property, which takes a lock in Python 3.11 and costs 2 µs
            sent = self.headers.getone("x-request-id", None)
            # A random prefix per process and a counter are as unique as a UUID, at a fraction of its cost.
            self._request_id = sent if sent and REQUEST_ID.fullmatch(sent) else f"{_prefix}-{next(_number):x}"
        return self._request_id

    def find_route(self) -> Route | None:
        """Return the route of the path, also for a method that Sanic does not know; None if no route matches.

        An unreadable request has no route, because it cannot be authenticated.
        """
        if self.route is None and self.head:
            try:
                self.route, _, path = self.app.router.get(self.path, "OPTIONS", None)
            except SanicException:
                return None
            self._match_info = {**path}
        return self.route

    @property
    def client_address(self) -> str:
        """The client's address. X-Forwarded-For is trusted for PROXIES_COUNT proxies only.

        Behind a proxy, the address is the proxy's text, which may be any text.
        """
        if not self.settings.proxies_count:  # the default, which saves reading the header (2 µs)
            return self._peer
        address = str(self.remote_addr or self._peer)
        return address[1:-1] if address.startswith("[") and address.endswith("]") else address  # Sanic brackets IPv6

    @property
    def _peer(self) -> str:
        """The address of the connection's other end. Sanic's stand-in for an unreadable request has no `ip`."""
        if self.conn_info and self.conn_info.client_ip:
            return str(self.conn_info.client_ip)
        find = getattr(self.transport, "get_extra_info", None)  # a closed connection has no transport
        peer = find("peername") if find else None
        return str(peer[0]) if isinstance(peer, tuple) else ""

    @property
    def allowed_methods(self) -> tuple[str, ...]:
        """The methods of the path's route; empty if no route matches."""
        route = self.find_route()
        return tuple(route.ctx.allow) if route else ()

    @property
    def template(self) -> str | None:
        """The route's path with the names of its parameters, for logs and metrics; None if no route matches."""
        return str(self.route.ctx.template) if self.route else None

    @property
    def database(self) -> FairClient:
        """The pool of the running application."""
        database: FairClient = self.app.ctx.database
        return database

    def heavy(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager that holds a place for the caller's heavy work. Raises as `Admission.heavy`."""
        held: AbstractAsyncContextManager[None] = self.app.ctx.admission.heavy(self.caller.user_id)
        return held

    @property
    def caller(self) -> Identity:
        """The identity of the caller. Only routes that need a token may use it."""
        if self.identity is None:
            raise SanicException("A public route used the identity of the caller.")
        return self.identity

    @property
    def http(self) -> Http:
        """The HTTP state of the connection, for handlers that stream a request or a response."""
        assert isinstance(self.stream, Http)  # noqa: S101 - this service supports HTTP/1 only
        return self.stream

    @property
    def json_body(self) -> bytes:
        """The body, without a byte order mark. It must be empty, or JSON in UTF-8 without a content coding.

        PUT and PATCH also accept a merge patch (RFC 7396), and treat it as JSON. Raises UnsupportedMediaTypeError.
        """
        body = bytes(self.body)
        if body:
            media_types.of_body(self, self._media_types)
        return body.removeprefix(BOM_UTF8)

    @property
    def _media_types(self) -> frozenset[str]:
        return MERGEABLE if self.method in {"PUT", "PATCH"} else PLAIN

    @property
    def settings(self) -> Settings:
        """The settings of the running application."""
        settings: Settings = self.app.ctx.settings
        return settings
