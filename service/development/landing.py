"""The page at /, in development alone: where everything is, and lines to paste. In production / is a 404 with a hint.

It holds no token and nothing of the request, so it may be shown to anybody who reaches it.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from sanic import Blueprint, HTTPResponse

from service.development.playground import Playground, digests
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("landing")

GUIDES = {
    "docs/tutorial/first-tasks.md": "a first walk through the API",
    "docs/how-to/connect-a-frontend.md": "send tokens and requests from a frontend",
    "docs/how-to/use-better-auth-with-nextjs.md": "with Better Auth and Next.js",
    "docs/how-to/keep-a-list-live.md": "show changes as they happen",
    "docs/reference/api.md": "all routes, headers and limits",
    "docs/README.md": "everything else",
}
LINES = """\
export TOKEN=$(.venv/bin/python -m service token --user {user})
curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"title": "Water the plants"}}' {address}/api/me/tasks
curl -H "Authorization: Bearer $TOKEN" {address}/api/me/tasks
"""  # noqa: E501 - lines to paste
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Doable</title>
  <link rel="icon" href="data:,">
  <style>
    :root {{ color-scheme: light dark; }}
    :root {{ --text: #1c2024; --quiet: #5b6570; --page: #fff; --box: #f3f5f7; --link: #0b5fc1 }}
    @media (prefers-color-scheme: dark) {{
      :root {{ --text: #e6e9ec; --quiet: #9aa4ae; --page: #15181b; --box: #20252a; --link: #7db7ff }}
    }}
    body {{ margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 46rem; font: 1rem/1.55 system-ui, sans-serif;
      color: var(--text); background: var(--page) }}
    a {{ color: var(--link) }}
    h2 {{ margin-top: 2rem; font-size: 1.1rem }}
    li span {{ color: var(--quiet) }}
    code, pre {{ font: .875rem/1.5 ui-monospace, monospace; background: var(--box); border-radius: .375rem }}
    code {{ padding: .1rem .3rem }}
    pre {{ padding: .75rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere }}
  </style>
</head>
<body>
  <main>
    <h1>Doable</h1>
    <p>The task backend that your frontend plugs into. This page is shown in development only.</p>
    <h2>Here</h2>
    <ul>
{links}
    </ul>
    <h2>To paste</h2>
    <p>In the project's folder, for the user <code>{user}</code>:</p>
    <pre>{lines}</pre>
    <h2>Guides</h2>
    <p>They come with the code:</p>
    <ul>
{guides}
    </ul>
  </main>
</body>
</html>
"""


class Landing(NamedTuple):
    """Where the service is, the user that development tokens are for, and the playground if there is one."""

    address: str
    user: str
    playground: Playground | None

    def links(self) -> dict[str, str]:
        """Return what each path of this service that is worth a visit is, the playground first."""
        live = {"/playground": "a list that stays live between two tabs"} if self.playground else {}
        return live | {
            "/docs": "read and try the API",
            "/openapi.json": "its OpenAPI 3.1 document, for code generators",
            "/health": "whether the service is ready",
        }

    def lines(self) -> str:
        """Return shell commands that make a token, create a task and list the tasks."""
        return LINES.format(address=self.address, user=self.user)

    def page(self) -> str:
        """Return the page as HTML."""
        links = (
            f'      <li><a href="{path}">{path}</a> <span>{what}</span></li>' for path, what in self.links().items()
        )
        guides = (f"      <li><code>{path}</code> <span>{what}</span></li>" for path, what in GUIDES.items())
        return PAGE.format(
            links="\n".join(links), guides="\n".join(guides), lines=escape(self.lines()), user=escape(self.user)
        )

    def text(self) -> str:
        """Return the same as plain text, for terminals."""
        links = "".join(f"{self.address}{path}  {what}\n" for path, what in self.links().items())
        guides = "".join(f"{path}  {what}\n" for path, what in GUIDES.items())
        return f"Doable, in development.\n\n{links}\n{self.lines()}\n{guides}"


@blueprint.get("/", ctx_public=True)
async def show_landing(request: ApiRequest) -> HTTPResponse:
    """Answer with HTML to clients that accept it by name, as browsers do; with plain text to all others."""
    landing: Landing = request.app.ctx.landing
    headers = {"Cache-Control": "no-store", "Vary": "Accept", "Referrer-Policy": "no-referrer"}
    if "text/html" not in request.headers.getone("accept", "").lower():
        return HTTPResponse(landing.text(), 200, headers, "text/plain; charset=utf-8")
    document = landing.page()
    headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src {digests(document.encode())}; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return HTTPResponse(document, 200, headers, "text/html; charset=utf-8")
