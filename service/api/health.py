"""Whether the process lives, and whether it can do its work: for balancers and platforms, without a token."""

from __future__ import annotations

from time import monotonic
from typing import Annotated

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.api.requests import ApiRequest
from service.api.responses import json_value
from service.database import migrations
from service.errors import UnavailableError

blueprint: Blueprint = Blueprint("health", url_prefix="/health")

REMEMBERED = 1.0  # seconds: however often they probe, the database is asked once in them


class Alive(Struct):
    """The process serves."""

    status: Annotated[str, Meta(examples=["ok"])] = "ok"


class Part(Struct, omit_defaults=True):
    """One thing that readiness depends on; `detail` says what is wrong with it, never where it is."""

    status: Annotated[str, Meta(examples=["ok"])]
    detail: str | None = None


class Ready(Struct):
    """Whether everything that an answer needs is there."""

    status: Annotated[str, Meta(examples=["ok"])]
    database: Part
    migrations: Part


@blueprint.get("/live", ctx_public=True)
async def live(_request: ApiRequest) -> HTTPResponse:
    """Say that the process serves; touches nothing else."""
    return json_value(Alive())


@blueprint.get("/ready", ctx_public=True)
@blueprint.get("/", ctx_public=True, name="health")
async def ready(request: ApiRequest) -> HTTPResponse:
    """Say whether requests can be answered, as of a second ago at most."""
    checked, report = getattr(request.app.ctx, "readiness", (0.0, None))
    if report is None or monotonic() - checked > REMEMBERED:
        report = await _check()
        request.app.ctx.readiness = (monotonic(), report)
    return json_value(report, 200 if report.status == "ok" else 503)


async def _check() -> Ready:
    try:
        applied = await migrations.applied()
    except UnavailableError as error:
        unknown = Part("unknown", "the database could not be asked")
        return Ready("unavailable", Part("unavailable", f"no answer ({error.kind})"), unknown)
    if applied != migrations.newest():
        behind = Part("behind", "the schema is not at the newest migration; run the migrations")
        return Ready("unavailable", Part("ok"), behind)
    return Ready("ok", Part("ok"), Part("ok", applied))
