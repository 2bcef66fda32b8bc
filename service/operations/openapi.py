"""What the routes that need no token answer."""

from __future__ import annotations

from service.operations import health, readiness
from service.web.openapi.shapes import ANYWHERE, Answer, Operation, Operations

READY = {"status": "ok", "database": {"status": "ok"}, "migrations": {"status": "ok", "detail": "0_init.py"}}
AWAY = {
    "status": "unavailable",
    "database": {"status": "unavailable", "detail": "no answer (connection)"},
    "migrations": {"status": "unknown", "detail": "the database could not be asked"},
}


def _ready(name: str) -> Operation:
    return Operation(
        name, "Health", "Whether requests can be answered",
        "For balancers: as of a second ago at most, however often they ask.",
        {
            200: Answer("Everything that an answer needs is there.", readiness.ReadinessReport, READY),
            503: Answer(
                "Something is missing, and the failing part says what; or the process is about to stop (`draining`).",
                readiness.ReadinessReport, AWAY, headers=("Retry-After",),
            ),
        },
        ANYWHERE, public=True,
    )  # fmt: skip


OPERATIONS: Operations = {
    ("GET", "/health/live"): Operation(
        "getLiveness", "Health", "Whether the process serves", "Touches nothing else.",
        {200: Answer("It does.", health.Liveness, {"status": "ok"})}, ANYWHERE, public=True,
    ),
    ("GET", "/health/ready"): _ready("getReadiness"),
    ("GET", "/health"): _ready("getHealth"),
    ("GET", "/metrics"): Operation(
        "getMetrics", "Health", "Figures for Prometheus",
        "For who sends METRICS_TOKEN as a bearer token, and for this machine itself; for all others there is no such "
        "route.",
        {200: Answer("All workers' figures together, in Prometheus' text format.", str, media_types=("text/plain",))},
        (*ANYWHERE, "not_found"), public=True,
    ),
    ("GET", "/openapi.json"): Operation(
        "getOpenApiDocument", "Documentation", "This description", "",
        {200: Answer("An OpenAPI 3.1 document.", dict)}, ANYWHERE, public=True,
    ),
    ("GET", "/docs"): Operation(
        "getDocumentationPage", "Documentation", "A page to read and try this description", "",
        {200: Answer("The page.", str, media_types=("text/html",))}, ANYWHERE, public=True,
    ),
    ("GET", "/docs/{name}"): Operation(
        "getDocumentationFile", "Documentation", "One of the page's own files", "",
        {200: Answer("The file.", str, media_types=("text/css", "text/javascript", "image/svg+xml"))},
        (*ANYWHERE, "not_found"), public=True,
    ),
}  # fmt: skip
