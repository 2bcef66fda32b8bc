"""The OpenAPI document: valid, complete, and consistent with the router, the problems table and its examples."""

from __future__ import annotations

import importlib
import json
import re
from types import ModuleType

import pytest

from service.tasks.listing import ListParameters
from service.tasks.schemas import TaskDraft
from service.web import openapi
from service.web.codes import PROBLEMS

READ_ONLY = {"type", "id", "uid", "user_id", "completed_at", "created_at", "updated_at", "deleted_at", "version"} | {
    "series", "series_start", "occurrence", "occurrence_number", "next_due",
}  # fmt: skip
METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
async def document(http) -> dict:
    """The document, as it is served."""
    response = await http.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    return response.json()


@pytest.fixture(scope="module")
def operations(document) -> dict[tuple[str, str], dict]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


@pytest.fixture(scope="module")
def jsonschema() -> ModuleType:
    """The library. It is imported here, so that only the process of these tests spends the time."""
    return importlib.import_module("jsonschema")


@pytest.fixture(scope="module")
def check(document, jsonschema):
    """Return a function that checks a value against a schema of the document, including formats."""
    components = {"components": document["components"]}

    def validate(value: object, schema: dict) -> None:
        whole = schema | components  # references lead into it
        jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)

    return validate


def resolve(document: dict, node: dict) -> dict:
    while "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def data(events: str) -> list[object]:
    """Values of the data of server-sent events; their schema is that of one of these."""
    return [json.loads(line) for line in re.findall(r"^data: (.*)$", events, re.MULTILINE)]


def bodies(document: dict, operations: dict):
    """Return every content of every request and response: its place, its schema and its examples."""
    for name, operation in operations.items():
        holders = [*operation["responses"].items(), ("request", operation.get("requestBody", {}))]
        for place, holder in holders:
            for media_type, content in holder.get("content", {}).items():
                examples = [resolve(document, example)["value"] for example in content.get("examples", {}).values()]
                if "example" in content:
                    examples += data(content["example"]) if media_type == "text/event-stream" else [content["example"]]
                yield f"{' '.join(name)} {place} {media_type}", content["schema"], examples


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    validator = importlib.import_module("openapi_spec_validator").OpenAPIV31SpecValidator(document)
    assert [error.message for error in validator.iter_errors()] == []


def test_the_document_describes_every_route_and_nothing_else(app, server, operations):
    routed = {
        (method, route.ctx.template)
        for route in app.router.routes
        # Responses to HEAD and OPTIONS, and 405, are not operations.
        if not getattr(route.handler, "__auto_handler__", False) and route.handler.__name__ != "_refuse"
        for method in route.methods
    }
    assert set(operations) == routed


def test_the_document_requires_a_token_exactly_where_the_service_does(app, server, document, operations):
    public = {route.ctx.template for route in app.router.routes if route.ctx.public}
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for (method, path), operation in operations.items():
        assert (operation.get("security") == []) == (path in public), f"{method} {path}"


def test_operation_ids_are_unique_and_every_operation_has_a_summary_and_a_known_tag(document, operations):
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in document["tags"]}
    assert all(operation["summary"] and set(operation["tags"]) <= tags for operation in operations.values())


def test_every_parameter_of_a_path_is_described(operations):
    for (method, path), operation in operations.items():
        described = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"]
        assert described == re.findall(r"{(\w+)}", path), f"{method} {path}"


def test_the_parameters_of_a_list_are_those_that_validate_it(operations):
    parameters = {
        parameter["name"]: parameter
        for parameter in operations["GET", "/api/{user_id}/tasks"]["parameters"]
        if parameter["in"] == "query"
    }
    assert list(parameters) == list(ListParameters.__struct_fields__)
    assert all(parameter["description"] for parameter in parameters.values())
    assert len({parameter["description"] for parameter in parameters.values()}) == len(parameters)
    for name in ("priority", "tag"):
        assert (parameters[name]["style"], parameters[name]["explode"]) == ("form", True)
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert set(parameters["sort"]["schema"]["enum"]) == {
        "created", "updated", "title", "due_date", "priority", "position", "created_at", "updated_at",
    }  # fmt: skip


def test_mass_deletion_says_that_its_status_is_required(operations):
    parameters = operations["DELETE", "/api/{user_id}/tasks"]["parameters"]
    required = {parameter["name"]: parameter["required"] for parameter in parameters}
    assert required == {"user_id": True, "status": True, "list": False}


def test_a_request_may_hold_the_fields_that_validate_it_and_no_others(document):
    draft = document["components"]["schemas"]["TaskDraft"]
    assert set(draft["properties"]) == (set(TaskDraft.__struct_fields__) - READ_ONLY) | {"uid"}
    assert draft["required"] == ["title"]
    assert draft["additionalProperties"] is False


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_may_be_sent_as_json_or_as_a_merge_patch(operations, method):
    body = operations[method, "/api/{user_id}/tasks/{task_id}"]["requestBody"]
    assert body["required"] is True
    assert set(body["content"]) == {"application/json", "application/merge-patch+json"}


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_the_body_of_a_completion_is_optional(operations, method):
    assert operations[method, "/api/{user_id}/tasks/{task_id}/complete"]["requestBody"]["required"] is False


def test_every_problem_is_in_the_preamble_with_its_status(document):
    for code, problem in PROBLEMS.items():
        assert f"| {problem.status} | `{code}` |" in document["info"]["description"]


def test_every_problem_is_an_answer_somewhere_under_its_own_status(document, operations):
    answers = [answer for operation in operations.values() for answer in operation["responses"].items()]
    answers += [(str(PROBLEMS[code].status), answer) for code, answer in document["components"]["responses"].items()]
    seen = set()
    for status, answer in answers:
        for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", ()):
            assert str(PROBLEMS[code].status) == status
            seen.add(code)
    assert seen == set(PROBLEMS)


def test_every_route_behind_a_token_can_refuse_it_forbid_it_and_be_unavailable(operations):
    for (_, path), operation in operations.items():
        owned = {"401", "403", "503"} if path.startswith("/api/") else set()
        missing = {"404"} if "{task_id}" in path else set()
        assert owned | missing | {"400", "500"} <= set(operation["responses"])


def test_the_headers_that_come_with_an_answer_are_described(document, operations):
    create = operations["POST", "/api/{user_id}/tasks"]["responses"]
    limits = {"RateLimit", "RateLimit-Policy"}
    assert set(create["201"]["headers"]) == {"X-Request-ID", "ETag", "Location"} | limits
    assert "WWW-Authenticate" in create["401"]["headers"]
    assert "Retry-After" in create["503"]["headers"]
    listed = operations["GET", "/api/{user_id}/tasks"]["responses"]["200"]["headers"]
    assert set(listed) == {"X-Request-ID", "ETag", "Link", "X-Total-Count"} | limits
    assert set(operations["GET", "/health"]["responses"]["200"]["headers"]) == {"X-Request-ID"}
    assert "Allow" in document["components"]["responses"]["method_not_allowed"]["headers"]
    for operation in operations.values():
        assert all("X-Request-ID" in answer["headers"] for answer in operation["responses"].values())


def test_every_example_keeps_to_its_own_schema(document, operations, check, jsonschema):
    checked = 0
    for place, schema, examples in bodies(document, operations):
        for example in examples:
            try:
                check(example, schema)
            except jsonschema.ValidationError as error:
                pytest.fail(f"{place}: {error.message}")
            checked += 1
    assert checked > 50


async def test_every_example_of_a_task_to_create_is_accepted(alice, operations):
    content = operations["POST", "/api/{user_id}/tasks"]["requestBody"]["content"]["application/json"]
    for name, example in content["examples"].items():
        assert (await alice.post(alice.path, json=example["value"])).status_code == 201, name


async def test_every_example_of_a_change_is_accepted_in_every_media_type(alice, operations):
    task = await alice.make()
    for suffix in ("", "/complete"):
        content = operations["PATCH", f"/api/{{user_id}}/tasks/{{task_id}}{suffix}"]["requestBody"]["content"]
        for media_type, body in content.items():
            for example in body["examples"].values():
                response = await alice.patch(
                    f"{alice.path}/{task['id']}{suffix}",
                    headers={"Content-Type": media_type},
                    json=example["value"],
                )
                assert response.status_code == 200, response.text


async def test_responses_conform_to_the_document(alice, operations, check):
    created = await alice.post(alice.path, json={"title": "A task", "due_at": "2026-12-24T18:00:00+01:00"})
    listed = await alice.get(alice.path)
    refused = await alice.post(alice.path, json={"title": "", "flavour": "red"})
    for method, status, response in (("POST", "201", created), ("GET", "200", listed), ("POST", "422", refused)):
        media_type = response.headers["content-type"]
        answer = operations[method, "/api/{user_id}/tasks"]["responses"][status]
        check(response.json(), answer["content"][media_type]["schema"])


async def test_the_example_of_invalid_input_is_what_the_service_answers(alice, document):
    example = document["components"]["examples"]["validation_error"]["value"]
    answer = (await alice.post(alice.path, json={"title": " "})).json()
    assert answer == example | {"request_id": answer["request_id"]}


def test_the_schema_and_the_rules_refuse_a_draft_with_a_day_and_a_moment(check, jsonschema):
    reference = {"$ref": "#/components/schemas/TaskDraft"}
    check({"title": "A task", "due_date": None, "due_at": "2026-12-24T18:00:00Z"}, reference)
    with pytest.raises(jsonschema.ValidationError):
        check({"title": "A task", "due_date": "2026-12-24", "due_at": "2026-12-24T18:00:00Z"}, reference)


@pytest.mark.parametrize(
    ("noun", "linked"),
    [
        ("task", {"getTask", "updateTask", "completeTask", "deleteTask"}),
        ("list", {"getList", "updateList", "deleteList"}),
    ],
)
def test_a_created_item_links_to_the_operations_on_it(operations, noun, linked):
    links = operations["POST", f"/api/{{user_id}}/{noun}s"]["responses"]["201"]["links"]
    known = {operation["operationId"]: path for (_, path), operation in operations.items()}
    assert linked <= set(links)
    assert all(f"{{{noun}_id}}" in known[link["operationId"]] for link in links.values())


def test_the_document_is_the_same_every_time(app, document):
    assert openapi.document(app) == document == openapi.document(app)


async def test_the_document_may_be_cached_for_a_minute(http):
    assert (await http.get("/openapi.json")).headers["cache-control"] == "public, max-age=60"


def test_the_names_are_fit_for_a_generated_client(document, operations):
    """A verb and its object: generators turn the ids into functions, and the schemas' names into types."""
    verbs = (
        "get|list|create|put|post|update|complete|batch|stream|delete|restore|destroy|empty|erase|export|import|skip"
    )
    for operation in operations.values():
        assert re.fullmatch(rf"({verbs})([A-Z][a-zA-Z]+)", operation["operationId"])
        assert re.fullmatch(r"[A-Z][a-z ]+", operation["tags"][0])
    schemas = document["components"]["schemas"]
    assert {"Task", "Change", "Tombstone", "TaskSummary", "DeletedCount", "InvalidField", "ReadinessPart"} <= set(
        schemas
    )
    assert all(schema["title"] == name for name, schema in schemas.items())


def test_every_object_has_a_name(document, operations):
    """An object without a name becomes a type such as InlineResponse200, or a type named after the operation."""
    schemas = [schema for _, schema, _ in bodies(document, operations)]
    schemas += [
        part
        for schema in document["components"]["schemas"].values()
        for field in schema.get("properties", {}).values()
        for part in (field, field.get("items", {}), *field.get("anyOf", ()))
    ]
    unnamed = [schema for schema in schemas if "properties" in schema or schema.get("items", {}).get("properties")]
    assert unnamed == []


def test_no_request_has_fields_that_are_only_read(document):
    """As properties, generators would make two types of each schema: one to read and one to write."""
    assert "readOnly" not in json.dumps(document)


def test_every_parameter_has_a_type(operations):
    for (method, path), operation in operations.items():
        for parameter in operation.get("parameters", ()):
            kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
            assert all("type" in kind for kind in kinds), f"{method} {path}: {parameter['name']}"


def test_no_header_is_filled_in_that_would_refuse_the_request(operations):
    """A page that fills in examples sent If-Match: "7", and each write was refused with 412."""
    for operation in operations.values():
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] != "header" or not {"example", "examples"} & set(parameter)


def test_a_route_that_deletes_many_tasks_has_no_example_user(operations):
    guarded = {
        operation["operationId"]
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["name"] == "user_id" and "example" not in parameter
    }
    assert guarded == {"deleteTasks", "emptyTrash", "eraseUser"}


async def test_fields_that_are_only_read_are_still_ignored_in_a_request(alice):
    task = await alice.make()
    answer = await alice.put(f"{alice.path}/{task['id']}", json=task)
    assert (answer.status_code, answer.json()) == (200, task)
