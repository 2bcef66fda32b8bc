"""Print the part of the OpenAPI document that the types of the clients are generated from.

    python -m clients.document            print it as JSON
    python -m clients.document --check    fail if the committed types come from another one, or were edited

The part contains the schemas, and the parameters and successful responses of the operations. It leaves out texts and
examples of operations and all errors, so most changes of the documentation do not change the types.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from service.app import create_app
from service.config import Settings
from service.web import openapi

TYPES = Path(__file__).parent / "typescript" / "src" / "types" / "types.gen.ts"
HEADER = re.compile(r"\A// document ([0-9a-f]{64})\n// contents ([0-9a-f]{64})\n")
KEPT = ("operationId", "parameters", "requestBody")


def source(document: dict[str, Any]) -> str:
    """Return the part of an OpenAPI document that determines the types, as JSON."""
    paths = {
        path: {method: _operation(operation) for method, operation in item.items() if "operationId" in operation}
        for path, item in document["paths"].items()
        if path.startswith("/api/")
    }
    kept = {"openapi": document["openapi"], "info": {"title": "Doable", "version": "1"}, "paths": paths}
    kept["components"] = {name: part for name, part in document["components"].items() if name != "examples"}
    return json.dumps(_without_examples(kept), indent=1, sort_keys=True) + "\n"


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    responses = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
    return {name: operation[name] for name in KEPT if name in operation} | {"responses": responses}


def _without_examples(node: object) -> object:
    if isinstance(node, dict):
        return {name: _without_examples(part) for name, part in node.items() if name not in {"example", "examples"}}
    return [*map(_without_examples, node)] if isinstance(node, list) else node


def fault(document: dict[str, Any], types: str) -> str | None:
    """Return why generated types do not belong to a document; None if they do."""
    header = HEADER.match(types)
    if not header:
        return f"{TYPES.name} has no header with digests"
    if header[2] != digest(types[header.end() :]):
        return f"{TYPES.name} was edited"
    if header[1] != digest(source(document)):
        return f"the API has changed since {TYPES.name} was generated"
    return None


def digest(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def served() -> dict[str, Any]:
    """Return the OpenAPI document of the service in this folder."""
    settings = {"DATABASE_URL": "postgres://nobody@127.0.0.1/none", "BETTER_AUTH_SECRET": "x" * 32}
    return openapi.document(create_app(Settings.from_environ(settings)))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        wrong = fault(served(), TYPES.read_text())
        sys.exit(wrong and f"{wrong}: run `make client-types`, which needs node")
    sys.stdout.write(source(served()))
