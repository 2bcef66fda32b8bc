"""The API's own description at /openapi.json, and a page to read and try it at /docs; no CDN is asked for anything."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files

import msgspec
from sanic import Blueprint, HTTPResponse
from sanic.exceptions import NotFound

from service.web import openapi
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("documentation")

ASSETS = {
    "swagger-ui.css": ("swagger_style.css", "text/css; charset=utf-8"),
    "swagger-ui.js": ("swagger_bundle.js", "text/javascript; charset=utf-8"),
}
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Doable API</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
  <div id="page"></div>
  <script src="/docs/swagger-ui.js"></script>
  <script src="/docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: "none",
});
"""
# Swagger UI writes styles into its elements and draws its icons from data URLs; nothing else may come from anywhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
KEPT = {"Cache-Control": "public, max-age=86400"}
KEPT_BRIEFLY = {"Cache-Control": "public, max-age=60"}  # a release may change it


@blueprint.get("/openapi.json", ctx_public=True)
async def description(_request: ApiRequest) -> HTTPResponse:
    """The OpenAPI 3.1 document."""
    return HTTPResponse(_description(), 200, KEPT_BRIEFLY, "application/json")


@blueprint.get("/docs", ctx_public=True)
async def page(_request: ApiRequest) -> HTTPResponse:
    """The page."""
    return HTTPResponse(PAGE, 200, {"Content-Security-Policy": POLICY, **KEPT_BRIEFLY}, "text/html; charset=utf-8")


@blueprint.get("/docs/<name:str>", ctx_public=True)
async def asset(_request: ApiRequest, name: str) -> HTTPResponse:
    """One of the page's own files."""
    if name == "start.js":
        return HTTPResponse(START, 200, KEPT_BRIEFLY, "text/javascript; charset=utf-8")
    if name not in ASSETS:
        raise NotFound
    file, media_type = ASSETS[name]
    body = await asyncio.to_thread(_asset, file)  # the first time it loads a package, which takes 60 ms and more
    return HTTPResponse(body, 200, KEPT, media_type)


@cache
def _description() -> bytes:
    return msgspec.json.encode(openapi.document())


@cache
def _asset(file: str) -> bytes:
    return files("offapi").joinpath(file).read_bytes()
