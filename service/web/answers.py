"""The responses that represent one task or one list, with its ETag."""

from __future__ import annotations

from sanic import HTTPResponse

from service.database.items import StoredItem
from service.web import responses
from service.web.conditions import is_known
from service.web.request import ApiRequest


def etag(stored: StoredItem) -> str:
    """Return an item's ETag: its version, and the last digits of its `uid`, because two users may have the same id."""
    return f'"{stored.version}.{stored.uid[-8:]}"'


def item(stored: StoredItem) -> HTTPResponse:
    """Return 200 with the item and its ETag (RFC 9110 section 8.8.3)."""
    return responses.json_document(stored.document, headers={"ETag": etag(stored)})


def read(request: ApiRequest, stored: StoredItem) -> HTTPResponse:
    """Return 200 with the item, or 304 if the caller already has it."""
    if "if-none-match" in request.headers and is_known(request, current := etag(stored)):
        return responses.unchanged(current)
    return item(stored)


def created(stored: StoredItem, user_id: str, noun: str) -> HTTPResponse:
    """Return 201 with the item, its ETag and its location under `noun`, tasks or lists; 200 if it was there before."""
    if stored.known:
        return item(stored)
    location = f"{responses.home(user_id)}/{noun}/{stored.id}"
    return responses.json_document(stored.document, 201, {"ETag": etag(stored), "Location": location})
