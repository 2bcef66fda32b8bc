"""Write the headers of a page of tasks: the link to the next page, and the total count."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlencode

from service.auth import RESERVED_SUBJECT
from service.database.keyset import Page
from service.web import cursors, parameters, responses


def headers(page: Page, path: str, following: str, listed: bytes) -> dict[str, str]:
    """Return `Link` if there is a next page (RFC 8288), and `X-Total-Count` if it was requested.

    `following` is the query string of the next page up to the cursor, and `listed` the list's fingerprint.
    """
    found = {}
    if page.next is not None:
        found["Link"] = f'<{_followable(path)}?{following}{cursors.write(page.next, listed)}>; rel="next"'
    if page.total is not None:
        found["X-Total-Count"] = str(page.total)
    return found


def _followable(path: str) -> str:
    """Return the request's `path` with all characters encoded that could end the URL early or lead out of /api/."""
    root, api, user, *rest = path.split("/")
    if unquote(user) in responses.DOTS:
        user = RESERVED_SUBJECT
    return quote("/".join((root, api, user, *rest)), safe="%/:@!$&'()*+,;=~")


def following(query_string: str) -> str:
    """Return the query string of the next page, up to the cursor."""
    kept = [pair for pair in parameters.pairs(query_string) if pair[0] != "cursor"]
    return urlencode([*kept, ("cursor", "")])
