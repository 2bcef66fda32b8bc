"""The liveness and readiness checks, for load balancers and platforms. They need no token."""

from __future__ import annotations

import random
from typing import Annotated

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.operations.readiness import DRAINING, Readiness, ReadinessReport
from service.web.openapi.shapes import ANYWHERE, Answer, Description
from service.web.request import ApiRequest
from service.web.responses import json_value

blueprint: Blueprint = Blueprint("health", url_prefix="/health")

READY = {"status": "ok", "database": {"status": "ok"}, "migrations": {"status": "ok", "detail": "0_init.py"}}
AWAY = {
    "status": "unavailable",
    "database": {"status": "unavailable", "detail": "no answer (connection)"},
    "migrations": {"status": "unknown", "detail": "the database did not answer"},
}


class Liveness(Struct):
    """The process answers requests."""

    status: Annotated[str, Meta(examples=["ok"])] = "ok"


@blueprint.get("/live", ctx_public=True, ctx_description=Description(
    "getLiveness", "Health", "Check liveness", "Whether the process answers requests. Does not check the database.",
    {200: Answer("The process answers requests.", Liveness, {"status": "ok"})}, ANYWHERE,
))  # fmt: skip
async def live(_request: ApiRequest) -> HTTPResponse:
    """Answer that the process is alive, without checking anything else."""
    return json_value(Liveness())


def _ready(name: str) -> Description:
    return Description(
        name, "Health", "Check readiness",
        "Whether the service can handle requests, for load balancers. The result is at most one second old.",
        {
            200: Answer("The service can handle requests.", ReadinessReport, READY),
            503: Answer(
                "A dependency is not ready, and its `detail` says why; or the process is shutting down (`draining`).",
                ReadinessReport, AWAY, headers=("Retry-After",),
            ),
        },
        ANYWHERE,
    )  # fmt: skip


@blueprint.get("/ready", ctx_public=True, ctx_description=_ready("getReadiness"))
@blueprint.get("/", ctx_public=True, name="health", ctx_description=_ready("getHealth"))
async def ready(request: ApiRequest) -> HTTPResponse:
    """Answer whether the service can handle requests. The result is at most one second old."""
    readiness: Readiness = request.app.ctx.readiness
    report = DRAINING if request.app.ctx.live.draining else await readiness.report(request.database)
    if report.status == "ok":
        return json_value(report)
    answer = json_value(report, 503)
    answer.headers["Retry-After"] = str(random.randint(1, 3))  # noqa: S311 - spreads retries over time; needs no secret
    return answer
