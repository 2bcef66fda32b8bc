"""The playground at /playground: a page that keeps a list live between two tabs. `make run` alone serves it.

It gives a token to whoever opens it, so it is no part of production: there is no such route unless `create_app` was
handed a `Playground`. And it answers nobody but a browser on this machine that was sent here by a local name. A page
elsewhere whose name was pointed at this machine (DNS rebinding), a tunnel and another origin's script get a 404.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sanic import Blueprint, HTTPResponse
from sanic.exceptions import NotFound

from service.web.local import is_local
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("playground")

STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
PRIVATE = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Playground:
    """The folder with the page's files, which may change while they are served, and a token for its one user."""

    folder: Path
    user: str
    sign: Callable[[], str]

    def page(self) -> bytes:
        """The page."""
        return (self.folder / "index.html").read_bytes()

    def module(self) -> bytes:
        """Its one script."""
        return (self.folder / "live.mjs").read_bytes()


def digests(document: bytes) -> str:
    """Return the CSP sources of the style sheets that stand in `document` (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    hashes = (base64.b64encode(hashlib.sha256(style).digest()).decode() for style in STYLE.findall(document))
    return " ".join(f"'sha256-{digest}'" for digest in hashes)


def policy(document: bytes) -> str:
    """What the page may do: run its script, use the style sheet that stands in it, and call this service."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {digests(document)}; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


@blueprint.get("/playground", ctx_public=True)
async def page(request: ApiRequest) -> HTTPResponse:
    """The page, which holds no token yet."""
    document = _open(request).page()
    headers = {"Content-Security-Policy": policy(document), **PRIVATE}
    return HTTPResponse(document, 200, headers, "text/html; charset=utf-8")


@blueprint.get("/playground/live.mjs", ctx_public=True)
async def module(request: ApiRequest) -> HTTPResponse:
    """The page's script."""
    return HTTPResponse(_open(request).module(), 200, {**PRIVATE}, "text/javascript; charset=utf-8")


@blueprint.get("/playground/session", ctx_public=True)
async def session(request: ApiRequest) -> HTTPResponse:
    """A token for the page, and for nobody who asks from elsewhere."""
    playground = _open(request)
    # Browsers say where a request comes from, and no script can make them say otherwise: https://www.w3.org/TR/fetch-metadata/
    if request.headers.getall("sec-fetch-site", ()) != ["same-origin"] or "origin" in request.headers:
        raise NotFound
    granted = {"user": playground.user, "token": playground.sign()}
    return HTTPResponse(msgspec.json.encode(granted), 200, {**PRIVATE}, "application/json")


def _open(request: ApiRequest) -> Playground:
    """The playground, for a request that was made on this machine and for it. Raises NotFound for any other."""
    if not is_local(request):
        raise NotFound
    playground: Playground = request.app.ctx.playground
    return playground
