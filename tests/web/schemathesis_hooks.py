"""Rules that JSON Schema cannot express, for Schemathesis. It loads this file itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, MutableMapping

import schemathesis

from service.web.positions import is_position
from service.web.text import fold

PLAIN = re.compile(r"[A-Za-z][0-9A-Za-z]{1,99}")  # the keys that the schema allows
SERIES, SERIES_ID = os.environ["SERIES"], os.environ["SERIES_ID"]  # uid and id of a repeating task
OPEN = ("all", "pending")
RELATED = ("list_id", "parent_id", "after", "before")
LONGEST = {"title": 200, "name": 100, "description": 1000}
CONDITIONS = ("If-Match", "If-None-Match", "Idempotency-Key")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Do not send as valid any values that only the service knows: cursors, versions, revisions, used keys, ids."""
    if isinstance(case.body, MutableMapping) and "operations" in case.body:
        _let_answer_by_itself(case)
    _leave_the_series(case)
    if not (case.meta and case.meta.generation.mode.is_positive):
        return
    for known, names in ((case.query, ("cursor", "since")), (case.body, ("if_version",)), (case.headers, CONDITIONS)):
        for name in names if isinstance(known, MutableMapping) else ():
            known.pop(name, None)
    for item in _items(case.body):
        # A rule requires a due, and JSON Schema counts 1.0 as an integer.
        for name in (*RELATED, "repeat", "occurrence_number"):
            item.pop(name, None)
    for name in CONDITIONS:
        kwargs.get("headers", {}).pop(name, None)
    if isinstance(case.query, MutableMapping) and case.query.get("format") != "csv":
        case.query.pop("bom", None)  # one parameter requires another: no schema can say so


def _leave_the_series(case):
    """Skip the task that repeats, but leave its due, which its repetition restricts. Leave the open tasks to others."""
    if case.method == "DELETE" and isinstance(case.query, MutableMapping) and case.query.get("status") in OPEN:
        case.query["status"] = "completed"
    if case.operation.path.endswith("/skip") and case.meta and case.meta.generation.mode.is_positive:
        case.path_parameters["task_id"] = SERIES
    if str((case.path_parameters or {}).get("task_id")) == SERIES_ID and isinstance(case.body, MutableMapping):
        case.body.pop("due_at", None)
        case.body.pop("due_date", None)


def _let_answer_by_itself(case):
    """Allow 404 for each operation on an invented task, and an error for the whole batch."""
    if case.meta and case.meta.generation.mode.is_positive:
        case.body["atomic"] = False
    elif case.body.get("atomic") is False:
        del case.body["atomic"]


@schemathesis.hook
def filter_case(context, case):
    """Skip cases that break the schema but not the rules, which count after trimming and folding.

    The schema is narrower than the rules: the service accepts all that the schema allows, and some values that it
    forbids.
    """
    # An invented user is replaced by the configured one, so such a case is valid.
    if case.meta and getattr(case.meta.phase.data, "parameter", None) == "user_id":
        return False
    if any(sent == "" or (isinstance(sent, list) and "" in sent) for sent in (case.query or {}).values()):
        return False  # an empty value counts as a missing parameter
    if case.media_type == "text/csv":
        return False  # no schema describes a CSV table
    bodies = [*_items(case.body)]
    lists = [*(body.get("tags") for body in bodies), (case.query or {}).get("tag")]
    texts = [(body.get(name), most) for body in bodies for name, most in LONGEST.items()]
    texts += [(tag, 50) for tags in lists if isinstance(tags, list) for tag in tags]
    trimmed = (isinstance(text, str) and len(text) > most >= len(text.strip()) for text, most in texts)
    folded = (isinstance(tags, list) and len(tags) > 20 >= len(_fold(tags)) for tags in lists)
    positions = (body.get("position") for body in bodies)
    unplaced = (isinstance(key, str) and PLAIN.fullmatch(key) and not is_position(key) for key in positions)
    return not any(trimmed) and not any(folded) and not any(unplaced)


def _items(body: object) -> Iterator[dict]:
    """Return the body, and the tasks and lists in the operations of a batch and the lines of an import."""
    if isinstance(body, dict):
        yield body
        for lines in (body.get("tasks"), body.get("lists")):
            yield from (line for line in (lines if isinstance(lines, list) else ()) if isinstance(line, dict))
        operations = body.get("operations")
        for operation in operations if isinstance(operations, list) else ():
            for name in ("task", "list", "changes"):
                if isinstance(operation, dict) and isinstance(operation.get(name), dict):
                    yield operation[name]


def _fold(tags: Iterable[object]) -> set[str]:
    return {fold(str(tag).strip()) for tag in tags}
