"""The playground at /playground: a page with task lists on the TypeScript client, as it is. Only `make run` has it.

The playground issues tokens without a login, so production must not serve it: its routes exist only if `create_app`
receives a `Playground`. It responds only to a browser on this machine that uses a local host name. It responds 404 to
a foreign page whose name resolves to this machine (DNS rebinding), to a tunnel and to a script of another origin.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sanic import Blueprint, HTTPResponse
from sanic.exceptions import NotFound

from service.web.local import is_local
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("playground")

PAGE = "index.html"
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
    """The page's files by their names, read for each request; its users; a function that signs a token for a user."""

    files: Mapping[str, Path]
    users: tuple[str, ...]
    sign: Callable[[str], str]


def find_files(page: Path, client: Path) -> dict[str, Path]:
    """Return the files of the page: the page and its modules, and the modules of the client below `client/`.

    The list is made at startup, so no request can name any other file.
    """
    own = {path.name: path for path in (page / PAGE, *page.glob("*.mjs")) if path.is_file()}
    return own | {f"client/{path.relative_to(client).as_posix()}": path for path in client.rglob("*.js")}


def digests(document: bytes) -> str:
    """Return the CSP sources of the inline style sheets in `document` (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    hashes = (base64.b64encode(hashlib.sha256(style).digest()).decode() for style in STYLE.findall(document))
    return " ".join(f"'sha256-{digest}'" for digest in hashes)


def policy(document: bytes) -> str:
    """Return the CSP of the page. It allows modules and requests of this service, and the inline style sheet."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {digests(document)}; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


@blueprint.get("/playground", ctx_public=True)
async def page(request: ApiRequest) -> HTTPResponse:
    """Send the page, which contains no token."""
    document = _open(request).files[PAGE].read_bytes()
    headers = {"Content-Security-Policy": policy(document), **PRIVATE}
    return HTTPResponse(document, 200, headers, "text/html; charset=utf-8")


@blueprint.get("/playground/<name:str>", ctx_public=True, name="module")
@blueprint.get("/playground/<folder:str>/<name:str>", ctx_public=True, name="module_of_folder")
@blueprint.get("/playground/<folder:str>/<subfolder:str>/<name:str>", ctx_public=True, name="module_of_subfolder")
async def module(request: ApiRequest, **path: str) -> HTTPResponse:
    """Send a module of the page or of the client. Raises NotFound if there is no module of this name."""
    name = "/".join(path.values())
    found = _open(request).files.get(name)
    if found is None or name == PAGE:
        raise NotFound
    return HTTPResponse(found.read_bytes(), 200, {**PRIVATE}, "text/javascript; charset=utf-8")


@blueprint.get(SESSION, ctx_public=True)
async def session(request: ApiRequest) -> HTTPResponse:
    """Send the page a token for the user in `user`, or for the usual one.

    Raises NotFound for a request from any other page, and for any other user.
    """
    playground = _open(request)
    user = request.args.get("user", playground.users[0])
    # The browser sets this header, and scripts cannot change it: https://www.w3.org/TR/fetch-metadata/
    if request.headers.getall("sec-fetch-site", ()) != ["same-origin"] or "origin" in request.headers:
        raise NotFound
    if user not in playground.users:
        raise NotFound
    granted = {"user": user, "token": playground.sign(user)}
    return HTTPResponse(msgspec.json.encode(granted), 200, {**PRIVATE}, "application/json")


def _open(request: ApiRequest) -> Playground:
    """Return the playground if `request` comes from this machine and has a local Host. Raises NotFound otherwise."""
    if not is_local(request):
        raise NotFound
    playground: Playground = request.app.ctx.playground
    return playground
