"""Suggest a known name for an unknown field or parameter."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache

LONGEST = 40  # characters; a longer name is no typing error
CUTOFF = 0.7  # 'titel' for 'title' is 0.8
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
INDEXED = re.compile(r"(.+)\[\d*\]", re.DOTALL)
PAGES = "pages use 'limit', and then the 'cursor' of the Link header"

# Names in other task services and their frontends, with the names here. The first one that a route knows is suggested.
OTHERS_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("status", "state", "done", "is_done", "is_completed", "complete", "completed", "checked"),
                    ("completed", "status")),
    **dict.fromkeys(("search", "query", "keyword", "filter"), ("q",)),
    **dict.fromkeys(("category", "categories", "label", "labels", "tags", "tag"), ("tags", "tag")),
    **dict.fromkeys(("name", "title", "text", "content", "subject", "task", "todo"), ("title", "name")),
    **dict.fromkeys(("list", "project", "project_id", "folder", "folder_id"), ("list_id", "list")),
    **dict.fromkeys(("parent", "parent_task", "parent_task_id"), ("parent_id", "parent")),
    **dict.fromkeys(("rank", "index", "sort_index"), ("position",)),
    **dict.fromkeys(("is_archived", "archive", "hidden", "closed"), ("archived",)),
    **dict.fromkeys(("body", "details", "note", "notes", "desc"), ("description",)),
    **dict.fromkeys(("due", "deadline", "due_on", "due_day"), ("due_date", "due_before")),
    **dict.fromkeys(("due_time", "due_datetime", "due_on_time"), ("due_at", "due_before")),
    **dict.fromkeys(("importance", "urgency"), ("priority",)),
    **dict.fromkeys(("order_by", "ordering", "sort_by"), ("sort",)),
    **dict.fromkeys(("direction", "dir", "sort_order"), ("order",)),
    **dict.fromkeys(("timezone", "time_zone", "zone"), ("tz",)),
}  # fmt: skip
PAGING = frozenset({"page", "per_page", "page_size", "size", "offset", "skip", "start"})


def meant_by(name: str, known: tuple[str, ...]) -> str | None:
    """Return a hint with the `known` name that `name` probably stands for, as a part of a sentence; None if none."""
    # The cache keeps the names, so a long one must not reach it: 512 names of a megabyte would stay in memory.
    return None if len(name) > LONGEST else _meant_by(name, known)


@lru_cache(maxsize=512)
def _meant_by(name: str, known: tuple[str, ...]) -> str | None:
    if (indexed := INDEXED.fullmatch(name)) and indexed[1] in known:
        return f"send it as '{indexed[1]}', once for each value: {indexed[1]}=a&{indexed[1]}=b"
    plain = CAMEL.sub("_", name.strip()).replace("-", "_").lower()
    if plain in PAGING and "cursor" in known:
        return PAGES
    if plain in known:
        return _question(plain)
    for word in OTHERS_WORDS.get(plain, ()):
        if word in known:
            both = plain in {"due", "deadline"} and word == "due_date" and "due_at" in known
            return "did you mean 'due_date' (a day) or 'due_at' (a timestamp)?" if both else _question(word)
    nearest = get_close_matches(plain, known, n=1, cutoff=CUTOFF)
    return _question(nearest[0]) if nearest else None


def _question(word: str) -> str:
    return f"did you mean '{word}'?"
