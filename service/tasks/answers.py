"""The responses that represent one task, with its ETag."""

from __future__ import annotations

from sanic import HTTPResponse

from service.database.items import StoredItem
from service.web import responses


def etag(stored: StoredItem) -> str:
    """Return a task's ETag: its version, and the last digits of its `uid`, because two users may have the same id."""
    return f'"{stored.version}.{stored.uid[-8:]}"'


def task(stored: StoredItem) -> HTTPResponse:
    """Return 200 with the task and its ETag (RFC 9110 section 8.8.3)."""
    return responses.json_document(stored.document, headers={"ETag": etag(stored)})


def created(stored: StoredItem, user_id: str) -> HTTPResponse:
    """Return 201 with the task, its ETag and its location; 200 if it was there before."""
    if stored.known:
        return task(stored)
    location = f"{responses.home(user_id)}/tasks/{stored.id}"
    return responses.json_document(stored.document, 201, {"ETag": etag(stored), "Location": location})
