"""From a page to its headers: where the next one is, and how many tasks there are in all."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlencode

from service.auth import RESERVED_SUBJECT
from service.tasks.selection import Page
from service.web import cursors, parameters, responses


def headers(page: Page, path: str, following: str, listed: bytes) -> dict[str, str]:
    """`Link` to the next page while there is one (RFC 8288), `X-Total-Count` when it was asked for.

    `following` is the query string up to the cursor, and `listed` the list's fingerprint.
    """
    found = {}
    if page.next is not None:
        found["Link"] = f'<{_followable(path)}?{following}{cursors.write(page.next, listed)}>; rel="next"'
    if page.total is not None:
        found["X-Total-Count"] = str(page.total)
    return found


def _followable(path: str) -> str:
    """Return the request's `path` as it came, but for what could end the URL early or lead out of /api/."""
    root, api, user, *rest = path.split("/")
    if unquote(user) in responses.DOTS:
        user = RESERVED_SUBJECT
    return quote("/".join((root, api, user, *rest)), safe="%/:@!$&'()*+,;=~")


def following(query_string: str) -> str:
    """The query string of the next page, up to the cursor."""
    kept = [pair for pair in parameters.pairs(query_string) if pair[0] != "cursor"]
    return urlencode([*kept, ("cursor", "")])
