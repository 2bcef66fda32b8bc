"""The figures of all workers, for Prometheus; not there at all for whoever may not read them."""

from __future__ import annotations

import asyncio
from hmac import compare_digest
from typing import Any, NoReturn

from sanic import Blueprint, HTTPResponse, Sanic
from sanic.exceptions import NotFound

from service import __version__, logs, telemetry
from service.database.client import FairClient
from service.errors import DoableError
from service.telemetry import Figures
from service.web.local import is_local
from service.web.middleware import bearer_token
from service.web.openapi.shapes import ANYWHERE, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("metrics")

PUBLISH_EVERY = 1.0  # seconds; shorter than anybody scrapes, so that a worker's figures are never long out of date


@blueprint.get("/metrics", ctx_public=True, ctx_description=Description(
    "getMetrics", "Health", "Figures for Prometheus",
    "For who sends METRICS_TOKEN as a bearer token, and for this machine itself; for all others there is no such "
    "route.",
    {200: Answer("All workers' figures together, in Prometheus' text format.", str, media_types=("text/plain",))},
    (*ANYWHERE, "not_found"),
))  # fmt: skip
async def read(request: ApiRequest) -> HTTPResponse:
    """The metrics in Prometheus' text format. Raises NotFound for who may not read them."""
    if not (is_authorized(request) or is_local(request)):
        raise NotFound
    return HTTPResponse(_text(request.app), 200, {"Cache-Control": "no-store"}, telemetry.CONTENT_TYPE)


def is_authorized(request: ApiRequest) -> bool:
    """Whether METRICS_TOKEN is set, and sent as a bearer token."""
    expected = request.settings.metrics_token
    try:
        return bool(expected) and compare_digest(bearer_token(request).encode(), expected.encode())
    except DoableError:
        return False


def counted() -> Figures:
    """What this worker has counted."""
    telemetry.figures.log_lines_dropped = logs.dropped()
    return telemetry.figures


def gauges(app: Sanic[Any, Any]) -> dict[str, float]:
    """What this worker's gauges stand at."""
    client: FairClient = app.ctx.database
    found: dict[str, float] = {
        "doable_database_pool_size": client.pool_maxsize,
        "doable_database_pool_in_use": client.handover.lent if client.handover else 0,
        "doable_database_pool_waiting": client.handover.waiting if client.handover else 0,
        "doable_token_cache_size": app.ctx.verifier.remembered,
    }
    found["doable_event_streams"] = app.ctx.live.open
    if app.ctx.published_keys:
        found["doable_key_set_age_seconds"] = app.ctx.published_keys.age
    return found


async def keep_publishing(app: Sanic[Any, Any]) -> NoReturn:
    """Publish this worker's figures for the other workers every PUBLISH_EVERY seconds, until cancelled."""
    while True:
        app.ctx.seat.publish(counted(), gauges(app))
        await asyncio.sleep(PUBLISH_EVERY)


def publish_last(app: Sanic[Any, Any]) -> None:
    """Publish this worker's counts for the last time, if there are other workers."""
    if app.ctx.seat:
        app.ctx.seat.publish(counted(), {})


def _text(app: Sanic[Any, Any]) -> bytes:
    if app.ctx.seat is None:
        counted().measure(gauges(app))
        return telemetry.text([telemetry.figures], telemetry.Figures(), __version__)
    # Ours first: whoever asks next, another worker perhaps, must not see less of us than we tell now.
    app.ctx.seat.publish(counted(), gauges(app))
    serving, ended = app.ctx.seat.board.read()
    return telemetry.text(serving, ended, __version__)
