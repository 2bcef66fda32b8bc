"""The shapes of our answers."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from msgspec import Struct
from sanic import HTTPResponse

from service.models import StoredTask

JSON = "application/json"


def json_document(document: str, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    """A JSON document that is already written."""
    return HTTPResponse(document, status, headers, JSON)


def json_value(value: Struct, status: int = 200) -> HTTPResponse:
    """A value as JSON."""
    return HTTPResponse(msgspec.json.encode(value), status, None, JSON)


def task(stored: StoredTask) -> HTTPResponse:
    """200 with the task and its ETag (RFC 9110 section 8.8.3)."""
    return json_document(stored.document, headers={"ETag": f'"{stored.version}"'})


def created(stored: StoredTask, user_id: str) -> HTTPResponse:
    """201 with the task, its ETag and where it is."""
    location = f"/api/{quote(user_id, safe='')}/tasks/{stored.id}"
    return json_document(stored.document, 201, {"ETag": f'"{stored.version}"', "Location": location})


def empty() -> HTTPResponse:
    """204."""
    return HTTPResponse(status=204)
