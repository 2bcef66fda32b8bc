"""The guides at /guides: the pages in the folder docs of a checkout, with working links. Only development serves them.

A page shows its Markdown source. The list of pages is read at startup, so no request can name any other file.
"""

from __future__ import annotations

import posixpath
import re
from html import escape
from pathlib import Path

from sanic import Blueprint, HTTPResponse
from sanic.exceptions import NotFound

from service.development.playground import digests
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("guides", url_prefix="/guides")

FOLDER = Path(__file__).parents[2] / "docs"  # only in a checkout; a wheel does not include it
PAGES = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*.md")}
LINK = re.compile(r"\[([^\]\n]+)\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#{1,4} .*)$", re.MULTILINE)
STYLE = """
    :root { color-scheme: light dark }
    body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 70rem; color: light-dark(#1d211f, #eceeea);
      background: light-dark(#faf9f6, #121413); font: .875rem/1.6 ui-monospace, Menlo, monospace }
    a { color: light-dark(#14715c, #4fc3a1) }
    pre { font: inherit; white-space: pre-wrap; overflow-wrap: anywhere }
  """
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{name} · Doable</title>
  <link rel="icon" href="data:,">
  <style>{style}</style>
</head>
<body>
  <nav><a href="/">Doable</a> · <a href="/guides/README.md">All guides</a> · <a href="/docs">API</a></nav>
  <pre>{text}</pre>
</body>
</html>
"""
POLICY = "default-src 'none'; style-src {}; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@blueprint.get("/<name:str>", ctx_public=True)
async def show_page(_request: ApiRequest, name: str) -> HTTPResponse:
    """Send a page of the folder `docs`. Raises NotFound if there is no page of this name."""
    return _page(name)


@blueprint.get("/<folder:str>/<name:str>", ctx_public=True, name="show_page_of_folder")
async def show_page_of_folder(_request: ApiRequest, folder: str, name: str) -> HTTPResponse:
    """Send a page of a subfolder, such as `how-to`. Raises NotFound if there is no page of this name."""
    return _page(f"{folder}/{name}")


def render(name: str, text: str) -> str:
    """Return a page as HTML: its Markdown source, with bold headings and working links to other pages."""

    def link(found: re.Match[str]) -> str:
        text, target = found.groups()
        page, _, _ = target.partition("#")
        page = posixpath.normpath(posixpath.join(posixpath.dirname(name), page)) if page else name
        if target.startswith("https://"):
            return f'<a href="{target}">{text}</a>'
        return f'<a href="/guides/{page}">{text}</a>' if page in PAGES else text

    body = HEADING.sub(r"<strong>\1</strong>", LINK.sub(link, escape(text)))
    return PAGE.format(name=escape(name), style=STYLE, text=body)


def _page(name: str) -> HTTPResponse:
    if name not in PAGES:
        raise NotFound
    document = render(name, PAGES[name].read_text())
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": POLICY.format(digests(document.encode()))}
    return HTTPResponse(document, 200, headers, "text/html; charset=utf-8")
