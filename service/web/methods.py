"""Every route answers every method: HEAD and OPTIONS where GET does, and 405 with `Allow` for the rest.

Sanic would answer a wrong method before anybody was asked for a token. As a route of its own the 405 comes where the
contract wants it: behind 401, 403 and a task id that cannot be.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, NoReturn

from sanic import HTTPResponse, Sanic
from sanic.constants import HTTP_METHODS
from sanic.exceptions import MethodNotAllowed
from sanic_ext import Config, Extend
from sanic_ext.config import PRIORITY
from sanic_ext.extensions.http.extension import HTTPExtension
from sanic_routing import Route

from service.web.request import ApiRequest
from service.web.responses import Answer

PARAMETER = re.compile(r"<([a-z_]+)(?::[^>]*)?>")


def complete(app: Sanic[Any, Any]) -> None:
    """Give every path of `app` the methods that its handlers leave out. Call it after the last route was added."""
    Extend(
        app,
        extensions=[HTTPExtension],
        built_in_extensions=False,
        config=Config(
            cors=False, http_auto_head=True, http_auto_options=True, http_auto_trace=False, http_all_methods=False
        ),
    )
    # Otherwise Sanic compiles its signal router again for each route that is added after the start.
    app.before_server_start(lambda app: app.signal_router.reset(), priority=PRIORITY + 1)
    app.before_server_start(_complete, priority=PRIORITY - 1)  # after sanic-ext has added HEAD and OPTIONS


def of_server(request: ApiRequest) -> HTTPResponse | None:
    """204 with the methods that any path takes, to `OPTIONS *` (RFC 9110 section 9.3.7)."""
    if request.method == "OPTIONS" and request.raw_url == b"*":
        return Answer(status=204, headers={"Allow": request.app.ctx.allow})
    return None


async def _refuse(request: ApiRequest, **_path: Any) -> NoReturn:  # noqa: ANN401 - whatever the path holds
    raise MethodNotAllowed("", request.method, request.allowed_methods)


async def _complete(app: Sanic[Any, Any]) -> None:
    paths: dict[str, list[Route]] = defaultdict(list)
    for route in app.router.routes:
        paths[route.path].append(route)
    app.router.reset()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
    for path, routes in paths.items():
        allowed = sorted(method for route in routes for method in route.methods)
        ours = next(route for route in routes if not getattr(route.handler, "__auto_handler__", False))
        template = "/" + PARAMETER.sub(r"{\1}", path)
        refused = [str(method) for method in HTTP_METHODS if method not in allowed]
        if refused:
            app.add_route(_refuse, f"/{path}", methods=refused, name=f"{ours.name}_refuse", unquote=ours.unquote)
        for route in app.router.routes:
            if route.path == path:
                route.extra.ignore_body = False  # what a client sends with a GET is read, and then of no interest
                route.ctx.allow = allowed
                route.ctx.template = template
                route.ctx.depth = path.count("/")
                route.ctx.public = getattr(ours.ctx, "public", False)
    methods = {method for route in app.router.routes for method in getattr(route.ctx, "allow", ())}
    app.ctx.allow = ", ".join(sorted(methods))
    app.signalize(bool(app.config.TOUCHUP))
    app.finalize()
