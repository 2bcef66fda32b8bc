"""Whether the process lives, and whether it can do its work: for balancers and platforms, without a token."""

from __future__ import annotations

import random
from typing import Annotated

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.operations.readiness import DRAINING, Readiness
from service.web.request import ApiRequest
from service.web.responses import json_value

blueprint: Blueprint = Blueprint("health", url_prefix="/health")


class Liveness(Struct):
    """The process serves."""

    status: Annotated[str, Meta(examples=["ok"])] = "ok"


@blueprint.get("/live", ctx_public=True)
async def live(_request: ApiRequest) -> HTTPResponse:
    """Say that the process serves; touches nothing else."""
    return json_value(Liveness())


@blueprint.get("/ready", ctx_public=True)
@blueprint.get("/", ctx_public=True, name="health")
async def ready(request: ApiRequest) -> HTTPResponse:
    """Say whether requests can be answered, as of a second ago at most."""
    readiness: Readiness = request.app.ctx.readiness
    report = DRAINING if request.app.ctx.live.draining else await readiness.report(request.database)
    if report.status == "ok":
        return json_value(report)
    answer = json_value(report, 503)
    answer.headers["Retry-After"] = str(random.randint(1, 3))  # noqa: S311 - spreads who asks, hides nothing
    return answer
