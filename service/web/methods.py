"""Complete the methods of every route: HEAD and OPTIONS, and 405 with `Allow` for all others.

Sanic itself returns a 405 before the middleware has checked the token. Here the 405 is a route of its own, so that 401,
403 and the 404 of an invalid task id come first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, NoReturn

from sanic import HTTPResponse, Sanic
from sanic.constants import HTTP_METHODS
from sanic.exceptions import MethodNotAllowed
from sanic.router import Router
from sanic_ext import Config, Extend
from sanic_ext.config import PRIORITY
from sanic_ext.extensions.http.extension import HTTPExtension
from sanic_routing import Route

from service.web.request import ApiRequest
from service.web.responses import Answer

PARAMETER = re.compile(r"<([a-z_]+)(?::[^>]*)?>")


class CompiledOnce(Router):
    """A router that compiles its search for a route only on request: once, when all routes have been added.

    Sanic finalizes its router at the start, and sanic-ext does twice more, each time before the first request. Each
    compilation takes 14 ms.
    """

    def finalize(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as Sanic's method
        """Arrange the routes. Compile the search only if `do_compile=True` is given."""
        super().finalize(*arguments, **{"do_compile": False} | options)


def complete(app: Sanic[Any, Any]) -> None:
    """Add the missing methods to every path of `app`, whose router is a `CompiledOnce`. Call this last."""
    Extend(
        app,
        extensions=[HTTPExtension],
        built_in_extensions=False,
        config=Config(
            cors=False, http_auto_head=True, http_auto_options=True, http_auto_trace=False, http_all_methods=False
        ),
    )
    # Without this, Sanic compiles its signal router again for each route that is added after the start.
    app.before_server_start(lambda app: app.signal_router.reset(), priority=PRIORITY + 1)
    app.before_server_start(_complete, priority=PRIORITY - 1)  # after sanic-ext has added HEAD and OPTIONS


def template(route: Route) -> str:
    """Return the path of `route` with its parameters in braces, such as `/api/{user_id}/tasks`."""
    return "/" + PARAMETER.sub(r"{\1}", route.path)


def of_server(request: ApiRequest) -> HTTPResponse | None:
    """Return 204 with the methods of all paths for `OPTIONS *` (RFC 9110 section 9.3.7); None for other requests."""
    if request.method == "OPTIONS" and request.raw_url == b"*":
        return Answer(status=204, headers={"Allow": request.app.ctx.allow})
    return None


async def _refuse(request: ApiRequest, **_path: Any) -> NoReturn:  # noqa: ANN401 - the parameters of any path
    raise MethodNotAllowed("", request.method, request.allowed_methods)


async def _complete(app: Sanic[Any, Any]) -> None:
    paths: dict[str, list[Route]] = defaultdict(list)
    for route in app.router.routes:
        paths[route.path].append(route)
    app.router.reset()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
    for path, routes in paths.items():
        allowed = sorted(method for route in routes for method in route.methods)
        ours = next(route for route in routes if not getattr(route.handler, "__auto_handler__", False))
        refused = [str(method) for method in HTTP_METHODS if method not in allowed]
        if refused:
            app.add_route(_refuse, f"/{path}", methods=refused, name=f"{ours.name}_refuse", unquote=ours.unquote)
        for route in app.router.routes:
            if route.path == path:
                route.extra.ignore_body = False  # the next request on the connection begins after the body of a GET
                route.ctx.allow = allowed
                route.ctx.template = template(route)
                route.ctx.depth = path.count("/")
                route.ctx.public = getattr(ours.ctx, "public", False)
    methods = {method for route in app.router.routes for method in getattr(route.ctx, "allow", ())}
    app.ctx.allow = ", ".join(sorted(methods))
    app.signalize(bool(app.config.TOUCHUP))
    app.router.finalize(do_compile=True)
    app.finalize_middleware()
