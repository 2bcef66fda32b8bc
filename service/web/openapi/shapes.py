"""The types in which operations are described, and the problems that many operations share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

# The problems of every route, of every route that needs a token, and of every such route with a body.
ANYWHERE = ("bad_request", "request_timeout", "payload_too_large", "expectation_failed", "internal_error")
OWNED = (
    *ANYWHERE, "invalid_request", "authentication_required", "invalid_token", "forbidden", "rate_limited",
    "service_unavailable",
)  # fmt: skip
WITH_BODY = (*OWNED, "malformed_json", "unsupported_media_type", "validation_error")
# The problems of the routes that take an Idempotency-Key.
KEYED = ("request_in_progress", "idempotency_full", "idempotency_key_reused")

UNCHANGED = "The ETag in `If-None-Match` is still current. There is no body."


def example_of(kind: type[Struct]) -> dict[str, Any]:
    """Return an example of `kind` as JSON values: the first example of each required field, or null if it has none."""
    _, components = msgspec.json.schema_components([kind])
    schema = components[kind.__name__]
    return {name: _first(schema["properties"][name]) for name in schema["required"]}


def _first(schema: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    kinds = (schema, *schema.get("anyOf", ()))
    return next((example for kind in kinds for example in kind.get("examples", ())), None)


class Answer(NamedTuple):
    """A successful response: the type of its body (None for no body), an example, and the names of its headers.

    If `links` is the name of a path parameter, such as task_id, the response links to the operations on the item that
    it contains (OpenAPI's Link Objects).
    """

    description: str
    kind: Any = None
    example: object = None
    headers: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
    links: str = ""
    others: tuple[str, ...] = ()  # media types of the same content as text


class Body(NamedTuple):
    """A request's body: its type, and its examples, each under a name that says what it does."""

    kind: type[Struct]
    examples: dict[str, object]
    required: bool = True
    others: tuple[str, ...] = ()  # media types of the same content as text


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """The description of one method of one path; a route has it as `ctx_description`.

    `problems` are codes of `service.web.codes.PROBLEMS`. `headers` are the names of the request headers that the
    operation reads (see `preamble.READ`). An operation that is `guarded` deletes more than one item. Its path has no
    example of a user id, so that a page that fills in examples cannot run it by accident.
    """

    id: str
    tag: str
    summary: str
    description: str
    answers: dict[int, Answer]
    problems: tuple[str, ...]
    query: type[Struct] | None = None
    body: Body | None = None
    headers: tuple[str, ...] = ()
    guarded: bool = False
    types: tuple[type[Struct], ...] = ()  # further types to which `schemas` refer
    schemas: Mapping[str, object] = field(default_factory=dict)  # schemas by name that no type can express
    place: int = field(default_factory=count().__next__, init=False)  # the position of the description in the code
