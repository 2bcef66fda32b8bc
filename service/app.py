"""Compose the service: settings, blueprints, middleware, and the tasks that run in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from sanic import Sanic
from sanic.exceptions import RequestCancelled

from service import database, logs
from service.auth import published_keys, token_verifier
from service.config import Settings
from service.config.origins import AllowList
from service.database.reachability import first_contact
from service.development import guides, landing, playground
from service.development.landing import Landing
from service.errors import ConfigurationError
from service.lists import routes as lists
from service.lists import trash as trashed_lists
from service.operations import documentation, health, metrics
from service.operations.purge import purge_daily
from service.operations.readiness import Readiness
from service.sync import events, feed
from service.sync.hub import Hub
from service.tasks import collection, routes
from service.tasks.batch import routes as batches
from service.tasks.trash import routes as trash
from service.transfer import exports, imports, uploads
from service.users import routes as users
from service.web import admission, methods, middleware, problems, unsent
from service.web.limiting import rate_limiter
from service.web.request import ApiRequest

logger = logging.getLogger("doable.serving")

MAXIMUM_BODY = 64 * 1024  # bytes
MAXIMUM_HEADERS = 8 * 1024  # bytes, the request line included

SANIC_CONFIG = {
    "ACCESS_LOG": False,  # the service writes a structured access log of its own
    "AUTO_EXTEND": False,
    "FALLBACK_ERROR_FORMAT": "json",
    "GRACEFUL_SHUTDOWN_TIMEOUT": 15.0,
    "GRACEFUL_TCP_CLOSE_TIMEOUT": 12.0,  # seconds for a slow client to read the end of a response; less than above
    "KEEP_ALIVE_TIMEOUT": 75,  # longer than load balancers keep idle connections (60 s or less)
    "MOTD": False,
    "REQUEST_MAX_HEADER_SIZE": MAXIMUM_HEADERS,
    "REQUEST_MAX_SIZE": MAXIMUM_BODY,
    "RESPONSE_TIMEOUT": 25,  # seconds; Heroku's router gives up after 30
    "SEND_RATE": 4 * 1024,  # bytes per second that a slow client must read of its response, on average of SEND_TIMEOUT
    "SEND_TIMEOUT": 20.0,  # seconds
}


def create_app(settings: Settings, development: Landing | None = None) -> Sanic[Any, Any]:
    """Compose the service. The landing page and the playground exist only if `development` contains them.

    Raises ConfigurationError for invalid settings.
    """
    settings.require_issuer()
    database.credentials(settings, settings.require_database())
    logs.configure(settings)

    app: Sanic[Any, Any] = Sanic(
        "doable", router=methods.CompiledOnce(), request_class=ApiRequest, configure_logging=False
    )
    app.config.update(SANIC_CONFIG)
    app.config.READ_TIMEOUT = app.config.REQUEST_TIMEOUT = settings.read_timeout
    app.config.PROXIES_COUNT = settings.proxies_count
    app.ctx.settings = settings
    app.ctx.allowed_origins = AllowList(settings.cors_origins)
    app.ctx.published_keys = published_keys(settings)
    app.ctx.verifier = token_verifier(settings, app.ctx.published_keys)
    app.ctx.readiness = Readiness(app.ctx.published_keys)
    app.ctx.expects_no_proxy = not settings.proxies_count  # a request with X-Forwarded-For sets it to False
    app.ctx.background = []  # the tasks of `_background`
    app.ctx.seat = None  # where a worker publishes its metrics for the other workers, if there are any
    app.ctx.live = Hub(per_user=settings.event_streams_per_user, in_all=settings.event_streams)
    app.ctx.uploads = uploads.Uploads()
    app.ctx.unsent = unsent.Budget()
    app.ctx.admission = admission.Admission(settings.pool_size)
    app.ctx.user_limiter = rate_limiter("user", settings.rate_limit, settings.rate_limit_storage)
    app.ctx.failure_limiter = rate_limiter("auth", settings.auth_failure_limit, settings.rate_limit_storage)

    rooms = (
        collection, routes, batches, feed, events, lists, trash, trashed_lists, users, exports, imports, health,
        metrics, documentation,
    )  # fmt: skip
    app.blueprint([room.blueprint for room in rooms])
    app.ctx.documentation = documentation.Documentation(app, *(development.for_documentation() if development else ()))
    if development:
        app.ctx.landing = development
        app.blueprint([landing.blueprint, guides.blueprint])
    if development and development.playground:
        app.ctx.playground = development.playground
        app.blueprint(playground.blueprint)
    methods.complete(app)

    if settings.is_traced:
        _trace(app)
    app.register_middleware(middleware.authenticate, "request")
    app.register_middleware(middleware.finish, "response")
    app.exception(Exception, RequestCancelled)(problems.answer)  # type: ignore[arg-type]  # reason: Sanic raises it so

    app.before_server_start(_open)
    app.after_server_stop(_close)
    return app


def _trace(app: Sanic[Any, Any]) -> None:
    try:
        from service.web import spans  # noqa: PLC0415 - OpenTelemetry is optional
    except ImportError:
        raise ConfigurationError(
            "Tracing is on without OpenTelemetry: pip install 'doable[otel]', or set OTEL_SDK_DISABLED=true."
        ) from None
    except ValueError:  # OpenTelemetry raises it during the import
        raise ConfigurationError("OTEL_PROPAGATORS names a propagator that is not installed.") from None
    spans.install(app)


async def _open(app: Sanic[Any, Any]) -> None:
    app.ctx.database = await database.connect(app.ctx.settings)
    app.ctx.background = [begin(name, work) for name, work in _background(app).items()]


def _background(app: Sanic[Any, Any]) -> dict[str, Coroutine[Any, Any, None]]:
    """Return the background tasks of this worker by name.

    Sanic's `add_task` is not used: its `shutdown_tasks` waits for the tasks without running the event loop, so a task
    that takes a moment to end, such as a purge during a statement, blocks the shutdown forever.
    """
    connection, keys = app.ctx.database, app.ctx.published_keys
    work = {
        "first contact": first_contact(connection),
        "daily purge": purge_daily(connection, app.ctx.settings),
        "live events": app.ctx.live.watch(connection),
    }
    if keys:
        work["published keys"] = keys.keep_fresh()
    if app.ctx.seat:
        work["metrics"] = metrics.keep_publishing(app)
    return work


def begin(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a background task, and log it as an error if it fails. Its failure does not end the worker."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_failure)
    return task


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("background task failed", exc_info=error, extra={"fields": {"task": task.get_name()}})


async def _close(app: Sanic[Any, Any]) -> None:
    for task in app.ctx.background:
        task.cancel()
    await asyncio.gather(*app.ctx.background, return_exceptions=True)
    metrics.publish_last(app)
    if app.ctx.published_keys:
        await app.ctx.published_keys.close()
    await database.close()
