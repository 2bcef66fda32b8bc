"""The metrics of all workers, for Prometheus. A client without permission gets 404."""

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

PUBLISH_EVERY = 1.0  # seconds; shorter than the usual interval of a scraper, so that all workers' metrics are current


@blueprint.get("/metrics", ctx_public=True, ctx_description=Description(
    "getMetrics", "Health", "Get metrics",
    "Metrics for Prometheus. Needs METRICS_TOKEN as a bearer token, or a client on the same machine. Any other client "
    "gets 404.",
    {200: Answer("The metrics of all workers, in Prometheus' text format.", str, media_types=("text/plain",))},
    (*ANYWHERE, "not_found"),
))  # fmt: skip
async def read(request: ApiRequest) -> HTTPResponse:
    """Answer with the metrics in Prometheus' text format. Raises NotFound for a client without permission."""
    if not (is_authorized(request) or is_local(request)):
        raise NotFound
    return HTTPResponse(_text(request.app), 200, {"Cache-Control": "no-store"}, telemetry.CONTENT_TYPE)


def is_authorized(request: ApiRequest) -> bool:
    """Return whether METRICS_TOKEN is set and the request has it as bearer token."""
    expected = request.settings.metrics_token
    try:
        return bool(expected) and compare_digest(bearer_token(request).encode(), expected.encode())
    except DoableError:
        return False


def counted() -> Figures:
    """Return the counts of this worker."""
    telemetry.figures.log_lines_dropped = logs.dropped()
    return telemetry.figures


def gauges(app: Sanic[Any, Any]) -> dict[str, float]:
    """Return the current gauges of this worker."""
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
    """Publish this worker's metrics for the other workers every PUBLISH_EVERY seconds, until cancelled."""
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
    # Publish first. Otherwise the next scrape, by another worker, could see lower counts of this worker than this one.
    app.ctx.seat.publish(counted(), gauges(app))
    serving, ended = app.ctx.seat.board.read()
    return telemetry.text(serving, ended, __version__)
