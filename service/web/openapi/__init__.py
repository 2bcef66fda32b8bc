"""The API's description in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0).

The `openapi` module of each noun lists its operations. The schemas come from the types that validate requests, and the
errors from the table of problems, so nothing is stated twice. A new route needs one entry.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import msgspec
from msgspec import Struct

from service.operations import openapi as public
from service.sync import openapi as sync
from service.tasks import openapi as tasks
from service.tasks.batch import openapi as batches
from service.tasks.trash import openapi as trash
from service.transfer import openapi as portable
from service.users import openapi as users
from service.web.openapi import preamble, refusals
from service.web.openapi.shapes import Answer, Body, Operation, Operations
from service.web.problems import PROBLEMS, ProblemDetails
from service.web.request import MERGEABLE, PLAIN

OPERATIONS: Operations = (
    tasks.OPERATIONS
    | batches.OPERATIONS
    | sync.OPERATIONS
    | trash.OPERATIONS
    | portable.OPERATIONS
    | users.OPERATIONS
    | public.OPERATIONS
)

REFERENCE = "#/components/schemas/{name}"
TEXT = {"schema": {"type": "string"}}
PARAMETER = re.compile(r"{(\w+)}")
# A rule that msgspec's types cannot express: at most one of the two fields is set.
EXCLUSIVE = {
    "properties": {"due_date": {"type": "string"}, "due_at": {"type": "string"}},
    "required": ["due_date", "due_at"],
}


def document() -> dict[str, Any]:
    """Return the whole OpenAPI document as a JSON value."""
    kinds = [answer.kind for operation in OPERATIONS.values() for answer in operation.answers.values() if answer.kind]
    kinds += [operation.body.kind for operation in OPERATIONS.values() if operation.body]
    others = (ProblemDetails, *sync.TYPES)
    schemas, components = msgspec.json.schema_components([*kinds, *others], ref_template=REFERENCE)
    by_kind = dict(zip(kinds, schemas, strict=False))
    for name in ("TaskDraft", "TaskPatch", "TaskFields", "ImportedTask"):
        components[name]["not"] = EXCLUSIVE
    components["ProblemDetails"]["properties"]["code"]["enum"] = list(PROBLEMS)
    components["ProblemDetails"]["properties"]["current"]["$ref"] = REFERENCE.format(name="Task")
    components["BatchOperationResult"]["properties"]["task"]["$ref"] = REFERENCE.format(name="Task")
    components |= sync.SCHEMAS
    _give_types(components)
    _leave_out_read_only(components)

    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for (method, path), operation in OPERATIONS.items():
        paths[path][method.lower()] = _operation(method, path, operation, by_kind)
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
            **refusals.components(),
        },
    }


def _operation(method: str, path: str, operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _path_parameters(path, guarded=operation.guarded)
        + (_query_parameters(operation.query) if operation.query else [])
        + [{"name": name, "in": "header", **preamble.READ[name]} for name in operation.headers],
        "responses": {
            **{str(status): _answer(operation, answer, schemas) for status, answer in operation.answers.items()},
            **refusals.responses(operation.problems),
        },
    }
    if operation.body:
        described["requestBody"] = _body(operation.body, MERGEABLE if method in {"PUT", "PATCH"} else PLAIN, schemas)
    if operation.public:
        described["security"] = []
    return {name: value for name, value in described.items() if value not in ("", []) or name == "security"}


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


def _answer(operation: Operation, answer: Answer, schemas: dict[Any, Any]) -> dict[str, Any]:
    limits = () if operation.public else ("RateLimit", "RateLimit-Policy")
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
        described["links"] = _links()
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
    """Remove the fields that a request may hold and the service ignores.

    The preamble describes them. As properties they would double each type in generated clients: one to read, one to
    write.
    """
    for schema in components.values():
        properties = schema.get("properties", {})
        for name in [name for name, kind in properties.items() if kind.get("readOnly")]:
            del properties[name]


def _links() -> dict[str, Any]:
    """Return the links from a new task to the operations on it."""
    parameters = {"user_id": "$request.path.user_id", "task_id": "$response.body#/id"}
    return {
        operation.id: {"operationId": operation.id, "parameters": parameters}
        for (_, path), operation in OPERATIONS.items()
        if "{task_id}" in path
    }
