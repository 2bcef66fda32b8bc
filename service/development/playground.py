"""The playground at /playground: a page with a task list that updates in real time in two tabs. Only `make run` has it.

The playground issues a token without a login, so production must not serve it: its routes exist only if `create_app`
receives a `Playground`. It responds only to a browser on this machine that uses a local host name. It responds 404 to
a foreign page whose name resolves to this machine (DNS rebinding), to a tunnel and to a script of another origin.
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

SESSION = "/playground/session"
STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
PRIVATE = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Playground:
    """The folder of the page's files, which are read for each request; the user; a function that signs tokens."""

    folder: Path
    user: str
    sign: Callable[[], str]

    def page(self) -> bytes:
        """Read the page."""
        return (self.folder / "index.html").read_bytes()

    def module(self) -> bytes:
        """Read the page's script."""
        return (self.folder / "live.mjs").read_bytes()


def digests(document: bytes) -> str:
    """Return the CSP sources of the inline style sheets in `document` (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    hashes = (base64.b64encode(hashlib.sha256(style).digest()).decode() for style in STYLE.findall(document))
    return " ".join(f"'sha256-{digest}'" for digest in hashes)


def policy(document: bytes) -> str:
    """Return the CSP of the page. It allows the page's script, its inline style sheet and requests to this service."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {digests(document)}; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


@blueprint.get("/playground", ctx_public=True)
async def page(request: ApiRequest) -> HTTPResponse:
    """Send the page, which contains no token."""
    document = _open(request).page()
    headers = {"Content-Security-Policy": policy(document), **PRIVATE}
    return HTTPResponse(document, 200, headers, "text/html; charset=utf-8")


@blueprint.get("/playground/live.mjs", ctx_public=True)
async def module(request: ApiRequest) -> HTTPResponse:
    """Send the page's script."""
    return HTTPResponse(_open(request).module(), 200, {**PRIVATE}, "text/javascript; charset=utf-8")


@blueprint.get(SESSION, ctx_public=True)
async def session(request: ApiRequest) -> HTTPResponse:
    """Send a token to the page. Raises NotFound for a request from any other page."""
    playground = _open(request)
    # The browser sets this header, and scripts cannot change it: https://www.w3.org/TR/fetch-metadata/
    if request.headers.getall("sec-fetch-site", ()) != ["same-origin"] or "origin" in request.headers:
        raise NotFound
    granted = {"user": playground.user, "token": playground.sign()}
    return HTTPResponse(msgspec.json.encode(granted), 200, {**PRIVATE}, "application/json")


def _open(request: ApiRequest) -> Playground:
    """Return the playground if `request` comes from this machine and has a local Host. Raises NotFound otherwise."""
    if not is_local(request):
        raise NotFound
    playground: Playground = request.app.ctx.playground
    return playground
