"""The API's description at /openapi.json, and a page to read and try it at /docs. All files come from this package.

The page is Scalar's API reference with a script and a style sheet of ours; `page/README.md` names its version.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import secrets
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from sanic import Blueprint, HTTPResponse, Sanic
from sanic.exceptions import NotFound

from service.web import openapi
from service.web.openapi.shapes import ANYWHERE, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("documentation")

FOLDER = files("service.operations") / "page"
FILES = {
    "icon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
    "page.mjs": "text/javascript; charset=utf-8",
    "scalar.js": "text/javascript; charset=utf-8",
}
# The page's script gives the nonce to each style sheet that Scalar inserts. Scalar also sets a few style attributes.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}  # a file's name changes with its content
KEPT_BRIEFLY = {"Cache-Control": "public, max-age=60"}  # a release may change it
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}  # a nonce is valid for one response


class File(NamedTuple):
    """A file that is compressed once and served many times."""

    gzipped: bytes
    media_type: str

    async def response(self, request: ApiRequest, headers: dict[str, str]) -> HTTPResponse:
        """Return the file, compressed if the client accepts gzip."""
        headers = headers | {"Vary": "Accept-Encoding"}
        if takes_gzip(",".join(request.headers.getall("accept-encoding", ()))):
            return HTTPResponse(self.gzipped, 200, headers | {"Content-Encoding": "gzip"}, self.media_type)
        body = await asyncio.to_thread(gzip.decompress, self.gzipped)  # 4 MB of script take 15 ms
        return HTTPResponse(body, 200, headers, self.media_type)


class Documentation:
    """The content of the documentation routes. The files are read and compressed at startup."""

    def __init__(
        self, app: Sanic[Any, Any], session: str | None = None, links: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Read the files; the OpenAPI document describes the routes that `app` has.

        In development the page reads a demo token from the path `session`, and links to other pages by their names.
        """
        self._app = app
        self._description: File | None = None
        self.files: dict[str, File] = {}
        values = {
            "session": f' data-session="{escape(session)}"' if session else "",
            "links": "".join(f'<a href="{escape(path)}">{escape(name)}</a>' for name, path in links.items()),
        }
        for name, media_type in FILES.items():
            stored, gzipped = _read(name)
            stem, _, suffix = name.rpartition(".")
            values[name] = f"{stem}.{hashlib.sha256(stored).hexdigest()[:12]}.{suffix}"
            self.files[values[name]] = File(gzipped, media_type)
        self._page = (FOLDER / "index.html").read_text()
        for name, value in values.items():
            self._page = self._page.replace(f"{{{name}}}", value)

    async def description(self) -> File:
        """Return the OpenAPI document. The first request makes it, in a thread, because that takes 0.1 s."""
        if self._description is None:
            self._description = await asyncio.to_thread(self._describe)
        return self._description

    def _describe(self) -> File:
        return File(gzip.compress(msgspec.json.encode(openapi.document(self._app))), "application/json")

    def page(self, nonce: str) -> str:
        """Return the page as HTML, with the `nonce` that its styles must carry."""
        return self._page.replace("{nonce}", nonce)


def takes_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding header accepts gzip by name (RFC 9110 section 12.5.3)."""
    for part in header.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in {"gzip", "x-gzip"}:
            return "".join(weight.split()).removeprefix("q=").strip("0.") != "" if weight else True
    return False


@blueprint.get("/openapi.json", ctx_public=True, ctx_description=Description(
    "getOpenApiDocument", "Documentation", "Get this OpenAPI document", "",
    {200: Answer("An OpenAPI 3.1 document.", dict)}, ANYWHERE,
))  # fmt: skip
async def description(request: ApiRequest) -> HTTPResponse:
    """Answer with the OpenAPI 3.1 document."""
    found = await _documentation(request).description()
    return await found.response(request, KEPT_BRIEFLY)


@blueprint.get("/docs", ctx_public=True, ctx_description=Description(
    "getDocumentationPage", "Documentation", "Open the documentation page", "",
    {200: Answer("The page.", str, media_types=("text/html",))}, ANYWHERE,
))  # fmt: skip
async def page(request: ApiRequest) -> HTTPResponse:
    """Answer with the page."""
    nonce = secrets.token_urlsafe(16)
    headers = {"Content-Security-Policy": POLICY.format(nonce=nonce), **PRIVATE}
    return HTTPResponse(_documentation(request).page(nonce), 200, headers, "text/html; charset=utf-8")


@blueprint.get("/docs/<name:str>", ctx_public=True, ctx_description=Description(
    "getDocumentationFile", "Documentation", "Get a file of the documentation page", "",
    {200: Answer("The file.", str, media_types=("text/css", "text/javascript", "image/svg+xml"))},
    (*ANYWHERE, "not_found"),
))  # fmt: skip
async def file(request: ApiRequest, name: str) -> HTTPResponse:
    """Answer with one of the page's files. Raises NotFound for any other name."""
    found = _documentation(request).files.get(name)
    if found is None:
        raise NotFound
    return await found.response(request, KEPT)


def _documentation(request: ApiRequest) -> Documentation:
    documentation: Documentation = request.app.ctx.documentation
    return documentation


def _read(name: str) -> tuple[bytes, bytes]:
    """Return a file of the page as it is stored and as it is sent. Scalar's script is stored compressed."""
    compressed = FOLDER / f"{name}.gz"
    stored = (compressed if compressed.is_file() else FOLDER / name).read_bytes()
    return stored, stored if compressed.is_file() else gzip.compress(stored)
