"""The API's description in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0).

Each route has its description as `ctx_description`; the document is made of these. The schemas come from the types that
validate requests, and the errors from the table of problems, so nothing is stated twice.
"""

from __future__ import annotations

import re
from collections import defaultdict
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from sanic import Sanic

from service.web import methods
from service.web.codes import PROBLEMS
from service.web.openapi import preamble, refusals
from service.web.openapi.shapes import Answer, Body, Description, example_of
from service.web.problems import ProblemDetails
from service.web.request import MERGEABLE, PLAIN

REFERENCE = "#/components/schemas/{name}"
TEXT = {"schema": {"type": "string"}}
PARAMETER = re.compile(r"{(\w+)}")
# Rules that msgspec's types cannot express: at most one of the places is sent, and at most one of the due fields set.
PLACES = [{"required": pair} for pair in (["position", "after"], ["position", "before"], ["after", "before"])]
DUE = {
    "properties": {"due_date": {"type": "string"}, "due_at": {"type": "string"}},
    "required": ["due_date", "due_at"],
}
EXCLUSIVE = {
    **{name: {"anyOf": [DUE, *PLACES]} for name in ("TaskDraft", "TaskPatch", "TaskFields", "ImportedTask")},
    **{name: {"anyOf": PLACES} for name in ("ListDraft", "ListPatch", "ListFields")},
}


class Operation(NamedTuple):
    """A method of a path, its description, and whether it needs no token."""

    method: str
    path: str
    described: Description
    public: bool


def document(app: Sanic[Any, Any]) -> dict[str, Any]:
    """Return the OpenAPI document of all routes of `app`, as a JSON value."""
    operations = _operations(app)
    described = [operation.described for operation in operations]
    kinds = [answer.kind for one in described for answer in one.answers.values() if answer.kind]
    kinds += [one.body.kind for one in described if one.body]
    others = (ProblemDetails, *(kind for one in described for kind in one.types))
    schemas, components = msgspec.json.schema_components([*kinds, *others], ref_template=REFERENCE)
    by_kind = dict(zip(kinds, schemas, strict=False))
    for name, excluded in EXCLUSIVE.items():
        components[name]["not"] = excluded
    components["ProblemDetails"]["properties"]["code"]["enum"] = list(PROBLEMS)
    components["ProblemDetails"]["properties"]["current"]["anyOf"] = [
        {"$ref": REFERENCE.format(name=name)} for name in ("Task", "List")
    ]
    for name in ("Task", "List"):
        components["BatchOperationResult"]["properties"][name.lower()]["$ref"] = REFERENCE.format(name=name)
    for one in described:
        components |= one.schemas
    _give_types(components)
    _leave_out_read_only(components)

    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    links = _links(operations)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _described(operation, by_kind, links)
    return {
        "openapi": "3.1.0",
        "info": preamble.INFO,
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": preamble.TAGS,
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": preamble.HEADERS,
            "securitySchemes": preamble.SECURITY_SCHEMES,
            **refusals.components(example_of(next(kind for kind in kinds if kind.__name__ == "Task"))),
        },
    }


def _operations(app: Sanic[Any, Any]) -> list[Operation]:
    """List the described operations in the order of the blueprints in `app`, and of the routes in each module."""
    blueprints = [*app.blueprints]
    found = []
    for route in app.router.routes:
        described = getattr(route.ctx, "description", None)
        if described is not None:
            (method,) = route.methods
            place = blueprints.index(route.name.split(".")[1]), described.place
            public = getattr(route.ctx, "public", False)
            found.append((place, Operation(method, methods.template(route), described, public)))
    return [operation for _, operation in sorted(found, key=itemgetter(0))]


def _described(operation: Operation, schemas: dict[Any, Any], links: dict[str, Any]) -> dict[str, Any]:
    method, path, described, public = operation
    answers = {str(status): _answer(one, schemas, links, public=public) for status, one in described.answers.items()}
    found: dict[str, Any] = {
        "operationId": described.id,
        "tags": [described.tag],
        "summary": described.summary,
        "description": described.description,
        "parameters": _path_parameters(path, guarded=described.guarded)
        + (_query_parameters(described.query) if described.query else [])
        + [{"name": name, "in": "header", **preamble.READ[name]} for name in described.headers],
        "responses": answers | refusals.responses(described.problems),
    }
    if described.body:
        found["requestBody"] = _body(described.body, MERGEABLE if method in {"PUT", "PATCH"} else PLAIN, schemas)
    if public:
        found["security"] = []
    return {name: value for name, value in found.items() if value not in ("", []) or name == "security"}


def _path_parameters(path: str, *, guarded: bool) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, **preamble.IN_PATH[name]} for name in PARAMETER.findall(path)
    ]
    if guarded:
        parameters[0].pop("example")
    return parameters


def _query_parameters(kind: type[Struct]) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([kind], ref_template=REFERENCE)
    _give_types(components)
    whole = components[kind.__name__]
    return [
        _query_parameter(name, schema, required=name in whole["required"])
        for name, schema in whole["properties"].items()
    ]


def _query_parameter(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    repeated = {"style": "form", "explode": True} if schema.get("type") == "array" else {}
    kept = {key: value for key, value in schema.items() if key != "description" and value not in ("", [])}
    return {
        "name": name, "in": "query", "required": required, "description": schema["description"], **repeated,
        "schema": kept,
    }  # fmt: skip


def _answer(answer: Answer, schemas: dict[Any, Any], links: dict[str, Any], *, public: bool) -> dict[str, Any]:
    limits = () if public else ("RateLimit", "RateLimit-Policy")
    names = ("X-Request-ID", *answer.headers, *limits)
    described: dict[str, Any] = {
        "description": answer.description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if answer.kind:
        content = {"schema": schemas[answer.kind]}
        if answer.example is not None:
            content["example"] = answer.example
        described["content"] = {**dict.fromkeys(answer.media_types, content), **dict.fromkeys(answer.others, TEXT)}
    if answer.links:
        described["links"] = links[answer.links]
    return described


def _body(body: Body, media_types: frozenset[str], schemas: dict[Any, Any]) -> dict[str, Any]:
    examples = {name: {"value": value} for name, value in body.examples.items()}
    content = {"schema": schemas[body.kind], "examples": examples}
    return {
        "required": body.required,
        "content": {**dict.fromkeys(sorted(media_types), content), **dict.fromkeys(body.others, TEXT)},
    }


def _give_types(schema: Any) -> None:  # noqa: ANN401 - any JSON
    """Add `type: string` to every enumeration in place. msgspec omits it, and code generators need it."""
    if isinstance(schema, dict):
        if isinstance(schema.get("enum"), list):
            schema.setdefault("type", "string")
        for part in schema.values():
            _give_types(part)
    elif isinstance(schema, list):
        for part in schema:
            _give_types(part)


def _leave_out_read_only(components: dict[str, Any]) -> None:
    """Remove the read-only fields from the schemas of requests.

    A request may contain them, and the service ignores them, as the preamble describes. If the schemas contained them,
    generated clients would have a type to read and a type to write for each schema.
    """
    for schema in components.values():
        properties = schema.get("properties", {})
        for name in [name for name, kind in properties.items() if kind.get("readOnly")]:
            del properties[name]


def _links(operations: list[Operation]) -> dict[str, Any]:
    """Return the links from a new item to the operations on it, by the name of the item's path parameter."""
    return {
        name: {
            described.id: {
                "operationId": described.id,
                "parameters": {"user_id": "$request.path.user_id", name: "$response.body#/id"},
            }
            for _, path, described, _ in operations
            if f"{{{name}}}" in path
        }
        for name in ("task_id", "list_id")
    }
