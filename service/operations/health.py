"""Whether the process lives, and whether it can do its work: for balancers and platforms, without a token."""

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
    "migrations": {"status": "unknown", "detail": "the database could not be asked"},
}


class Liveness(Struct):
    """The process serves."""

    status: Annotated[str, Meta(examples=["ok"])] = "ok"


@blueprint.get("/live", ctx_public=True, ctx_description=Description(
    "getLiveness", "Health", "Whether the process serves", "Touches nothing else.",
    {200: Answer("It does.", Liveness, {"status": "ok"})}, ANYWHERE,
))  # fmt: skip
async def live(_request: ApiRequest) -> HTTPResponse:
    """Say that the process serves; touches nothing else."""
    return json_value(Liveness())


def _ready(name: str) -> Description:
    return Description(
        name, "Health", "Whether requests can be answered",
        "For balancers: as of a second ago at most, however often they ask.",
        {
            200: Answer("Everything that an answer needs is there.", ReadinessReport, READY),
            503: Answer(
                "Something is missing, and the failing part says what; or the process is about to stop (`draining`).",
                ReadinessReport, AWAY, headers=("Retry-After",),
            ),
        },
        ANYWHERE,
    )  # fmt: skip


@blueprint.get("/ready", ctx_public=True, ctx_description=_ready("getReadiness"))
@blueprint.get("/", ctx_public=True, name="health", ctx_description=_ready("getHealth"))
async def ready(request: ApiRequest) -> HTTPResponse:
    """Say whether requests can be answered, as of a second ago at most."""
    readiness: Readiness = request.app.ctx.readiness
    report = DRAINING if request.app.ctx.live.draining else await readiness.report(request.database)
    if report.status == "ok":
        return json_value(report)
    answer = json_value(report, 503)
    answer.headers["Retry-After"] = str(random.randint(1, 3))  # noqa: S311 - spreads who asks, hides nothing
    return answer
