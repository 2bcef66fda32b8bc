"""Choose the detail of a 404 for an unknown path: a constant sentence that depends on the path alone."""

from __future__ import annotations

import re

NO_ROUTE = "There is no such route; see /docs for all routes."
ROOT = "This path has no page. Tasks are at /api/me/tasks, and /docs describes all routes."
VERSION = "Paths contain no version: tasks are at /api/me/tasks, and /docs describes all routes."
SIGN_IN = "This API has no sign-in: send such requests to your auth server, and its token to /api/me/tasks."
WITHOUT_USER = (
    "There is no such route: did you mean {}? The path must name the user; 'me' stands for the token's user. See /docs."
)
OF_A_TASK = "There is no such route: did you mean {}, with the task's id? See /docs for all routes."
SIMILAR = "There is no such route: did you mean {}? See /docs for all routes."

VERSIONED = re.compile(r"v\d{1,3}", re.ASCII)
AUTH = frozenset({"auth", "login", "logout", "register", "session", "sign-in", "sign-up", "signin", "signup", "token"})
# Words in paths of other APIs, and the path of this API. A user id may equal such a word, but that is unlikely.
NOUNS = {
    "tasks": "/api/me/tasks",
    "task": "/api/me/tasks",
    "todos": "/api/me/tasks",
    "todo": "/api/me/tasks",
    "items": "/api/me/tasks",
    "lists": "/api/me/lists",
    "list": "/api/me/lists",
    "projects": "/api/me/lists",
    "batch": "/api/me/batch",
    "changes": "/api/me/changes",
    "events": "/api/me/events",
    "summary": "/api/me/tasks/summary",
    "trash": "/api/me/trash",
    "export": "/api/me/export",
    "import": "/api/me/import",
}
# Words that other APIs put after a task's id, and the path of this API.
VERBS = {
    "toggle": "/api/me/tasks/{task_id}/complete",
    "completed": "/api/me/tasks/{task_id}/complete",
    "done": "/api/me/tasks/{task_id}/complete",
    "status": "/api/me/tasks/{task_id}/complete",
    "restore": "/api/me/trash/{task_id}/restore",
    "undo": "/api/me/trash/{task_id}/restore",
}


def is_misplaced(segment: str) -> bool:
    """Return whether `segment`, in the place of the user's id, shows that the path is that of another API.

    Such a path gets a 404 with a hint, because a 403 would not explain the mistake.
    """
    return segment.lower() in NOUNS or segment.lower() in AUTH or VERSIONED.fullmatch(segment.lower()) is not None


def for_path(path: str) -> str:
    """Return the detail for a path that matches no route, or that names no user. It never quotes the path."""
    words = [word for word in path.lower().split("/") if word]
    is_api = words[:1] == ["api"]
    first, second, _, verb, *_ = [*words[is_api:], "", "", "", ""]
    if not first:
        return ROOT
    if VERSIONED.fullmatch(first):
        return VERSION
    if first in AUTH:
        return SIGN_IN
    if first in NOUNS:
        return WITHOUT_USER.format(NOUNS[first])
    if is_api and second == "tasks" and verb in VERBS:
        return OF_A_TASK.format(VERBS[verb])
    meant = NOUNS.get(second) if is_api else None
    return SIMILAR.format(meant) if meant and meant != f"/api/me/{second}" else NO_ROUTE
