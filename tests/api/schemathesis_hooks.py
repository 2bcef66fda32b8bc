"""What Schemathesis is told about our rules that JSON Schema cannot say. It loads this file by itself."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

import schemathesis

CONDITIONS = ("If-Match", "If-None-Match", "Idempotency-Key")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Send as if it were right nothing that only the service knows: cursors, versions, revisions, keys used before."""
    if not (case.meta and case.meta.generation.mode.is_positive):
        return
    for known, names in ((case.query, ("cursor", "since")), (case.body, ("if_version",)), (case.headers, CONDITIONS)):
        for name in names if isinstance(known, MutableMapping) else ():
            known.pop(name, None)
    for name in CONDITIONS:
        kwargs.get("headers", {}).pop(name, None)


@schemathesis.hook
def filter_case(context, case):
    """Leave out what breaks the schema as it stands but keeps to the rules, which count after trimming and folding.

    The schema is the narrower of the two: all that it allows is accepted, and some of what it forbids as well.
    """
    # A made-up user is replaced by the one of the configuration, so nothing about such a case is wrong.
    if case.meta and getattr(case.meta.phase.data, "parameter", None) == "user_id":
        return False
    body = case.body if isinstance(case.body, dict) else {}
    lists = (body.get("tags"), (case.query or {}).get("tag"))
    texts = [(body.get("title"), 200), (body.get("description"), 1000)]
    texts += [(tag, 50) for tags in lists if isinstance(tags, list) for tag in tags]
    trimmed = (isinstance(text, str) and len(text) > most >= len(text.strip()) for text, most in texts)
    folded = (isinstance(tags, list) and len(tags) > 20 >= len(_fold(tags)) for tags in lists)
    return not any(trimmed) and not any(folded)


def _fold(tags: Iterable[object]) -> set[str]:
    return {str(tag).strip().casefold() for tag in tags}
