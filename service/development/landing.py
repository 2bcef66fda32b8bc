"""The landing page at /: links to the service and its guides, and commands to paste. Only development serves it.

In production, / responds 404 with a hint. The page contains no token and no data of the request, so every client may
see it.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from sanic import Blueprint, HTTPResponse

from service.development.guides import PAGES
from service.development.playground import SESSION, Playground, digests
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("landing")

SHOWN = {
    "tutorial/first-tasks.md": "learn the API step by step",
    "how-to/connect-a-frontend.md": "send tokens and requests from a frontend",
    "how-to/use-better-auth-with-nextjs.md": "use Better Auth and Next.js",
    "how-to/keep-a-list-live.md": "show changes in real time",
    "reference/api.md": "all routes, headers and limits",
    "README.md": "the list of all pages",
}
GUIDES = {f"/guides/{name}": what for name, what in SHOWN.items() if name in PAGES}
LINES = """\
export TOKEN=$(.venv/bin/python -m service token --user {user})
curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"title": "Water the plants"}}' {address}/api/me/tasks
curl -H "Authorization: Bearer $TOKEN" {address}/api/me/tasks
"""  # noqa: E501 - each command is one line
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Doable</title>
  <link rel="icon" href="data:,">
  <style>
    :root {{ color-scheme: light dark; --text: #1d211f; --quiet: #545c58; --page: #faf9f6; --box: #f1f0ea;
      --link: #14715c }}
    @media (prefers-color-scheme: dark) {{
      :root {{ --text: #eceeea; --quiet: #b1b9b4; --page: #121413; --box: #1b1e1c; --link: #4fc3a1 }}
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
    <p>A task backend for your frontend. Only a development server shows this page.</p>
    <h2>Pages</h2>
    <ul>
{links}
    </ul>
    <h2>Try it</h2>
    <p>Paste these commands in the project's folder. They use the user <code>{user}</code>:</p>
    <pre>{lines}</pre>
    <h2>Guides</h2>
    <ul>
{guides}
    </ul>
  </main>
</body>
</html>
"""


class Landing(NamedTuple):
    """The content of the landing page: the service's address, the user of development tokens, and the playground."""

    address: str
    user: str
    playground: Playground | None

    def for_documentation(self) -> tuple[str | None, dict[str, str]]:
        """Return the development links of the documentation page.

        The first value is the path that issues a demo token, or None. The second has the paths of other pages by name.
        """
        playground = {"Playground": "/playground"} if self.playground else {}
        return SESSION if self.playground else None, playground | ({"Guides": "/guides/README.md"} if GUIDES else {})

    def links(self) -> dict[str, str]:
        """Return the paths to link and their descriptions, the playground first if it is served."""
        live = {"/playground": "a task list that updates in real time in two tabs"} if self.playground else {}
        return live | {
            "/docs": "read and try the API",
            "/openapi.json": "the OpenAPI 3.1 document, for code generators",
            "/health": "the status of the service",
        }

    def lines(self) -> str:
        """Return shell commands that create a token, create a task and list the tasks."""
        return LINES.format(address=self.address, user=self.user)

    def page(self) -> str:
        """Return the page as HTML."""
        links = (
            f'      <li><a href="{path}">{path}</a> <span>{what}</span></li>' for path, what in self.links().items()
        )
        guides = (f'      <li><a href="{path}">{path}</a> <span>{what}</span></li>' for path, what in GUIDES.items())
        return PAGE.format(
            links="\n".join(links), guides="\n".join(guides), lines=escape(self.lines()), user=escape(self.user)
        )

    def text(self) -> str:
        """Return the page as plain text, for terminals."""
        links = "".join(f"{self.address}{path}  {what}\n" for path, what in self.links().items())
        guides = "".join(f"{self.address}{path}  {what}\n" for path, what in GUIDES.items())
        return f"Doable, in development.\n\n{links}\n{self.lines()}\n{guides}"


@blueprint.get("/", ctx_public=True)
async def show_landing(request: ApiRequest) -> HTTPResponse:
    """Respond with HTML if the Accept header names text/html, as browsers send it; otherwise with plain text."""
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
