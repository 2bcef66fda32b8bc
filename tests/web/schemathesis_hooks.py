"""What Schemathesis is told about our rules that JSON Schema cannot say. It loads this file by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping

import schemathesis

from service.web.text import fold

CONDITIONS = ("If-Match", "If-None-Match", "Idempotency-Key")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Send as if it were right nothing that only the service knows: cursors, versions, revisions, keys used before."""
    if isinstance(case.body, MutableMapping) and "operations" in case.body:
        _let_answer_by_itself(case)
    if not (case.meta and case.meta.generation.mode.is_positive):
        return
    for known, names in ((case.query, ("cursor", "since")), (case.body, ("if_version",)), (case.headers, CONDITIONS)):
        for name in names if isinstance(known, MutableMapping) else ():
            known.pop(name, None)
    for name in CONDITIONS:
        kwargs.get("headers", {}).pop(name, None)
    if isinstance(case.query, MutableMapping) and case.query.get("format") != "csv":
        case.query.pop("bom", None)  # one parameter that needs another: no schema says so


def _let_answer_by_itself(case):
    """Let operations on made-up tasks answer 404 each by itself, and one that is wrong be answered for the whole."""
    if case.meta and case.meta.generation.mode.is_positive:
        case.body["atomic"] = False
    elif case.body.get("atomic") is False:
        del case.body["atomic"]


@schemathesis.hook
def filter_case(context, case):
    """Leave out what breaks the schema as it stands but keeps to the rules, which count after trimming and folding.

    The schema is the narrower of the two: all that it allows is accepted, and some of what it forbids as well.
    """
    # A made-up user is replaced by the one of the configuration, so nothing about such a case is wrong.
    if case.meta and getattr(case.meta.phase.data, "parameter", None) == "user_id":
        return False
    if "" in (case.query or {}).values():
        return False  # an empty value is read as if the parameter were missing
    if case.media_type == "text/csv":
        return False  # no schema says what a table is
    bodies = [*_tasks(case.body)]
    lists = [*(body.get("tags") for body in bodies), (case.query or {}).get("tag")]
    texts = [(body.get(name), most) for body in bodies for name, most in (("title", 200), ("description", 1000))]
    texts += [(tag, 50) for tags in lists if isinstance(tags, list) for tag in tags]
    trimmed = (isinstance(text, str) and len(text) > most >= len(text.strip()) for text, most in texts)
    folded = (isinstance(tags, list) and len(tags) > 20 >= len(_fold(tags)) for tags in lists)
    return not any(trimmed) and not any(folded)


def _tasks(body: object) -> Iterator[dict]:
    """The body, and what the operations of a batch and the lines of an import say of tasks."""
    if isinstance(body, dict):
        yield body
        lines = body.get("tasks")
        yield from (line for line in (lines if isinstance(lines, list) else ()) if isinstance(line, dict))
        operations = body.get("operations")
        for operation in operations if isinstance(operations, list) else ():
            for name in ("task", "changes"):
                if isinstance(operation, dict) and isinstance(operation.get(name), dict):
                    yield operation[name]


def _fold(tags: Iterable[object]) -> set[str]:
    return {fold(str(tag).strip()) for tag in tags}
