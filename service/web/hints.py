"""What a 404 for an unknown path says to those who guessed it: constant sentences, chosen by the path alone."""

from __future__ import annotations

import re

NO_ROUTE = "There is no such route; see /docs for those that exist."
ROOT = "There is no page here: this is an API. Tasks are at /api/me/tasks, and /docs describes all routes."
VERSION = "There is no version in paths: tasks are at /api/me/tasks, and /docs describes all routes."
SIGN_IN = "Nobody signs in here: send such requests to your auth server, and its token to /api/me/tasks."
WITHOUT_USER = "There is no such route: did you mean {}? The path names the user, and 'me' is the token's; see /docs."
OF_A_TASK = "There is no such route: did you mean {}, with the task's id? See /docs for all routes."
SIMILAR = "There is no such route: did you mean {}? See /docs for all routes."

VERSIONED = re.compile(r"v\d{1,3}", re.ASCII)
AUTH = frozenset({"auth", "login", "logout", "register", "session", "sign-in", "sign-up", "signin", "signup", "token"})
# Words of other APIs, and the path that each stands for. A user may have one as an id, unlikely as that is.
NOUNS = {
    "tasks": "/api/me/tasks",
    "task": "/api/me/tasks",
    "todos": "/api/me/tasks",
    "todo": "/api/me/tasks",
    "items": "/api/me/tasks",
    "lists": "/api/me/tasks",
    "list": "/api/me/tasks",
    "batch": "/api/me/tasks/batch",
    "changes": "/api/me/tasks/changes",
    "events": "/api/me/tasks/events",
    "summary": "/api/me/tasks/summary",
    "trash": "/api/me/trash",
    "export": "/api/me/export",
    "import": "/api/me/import",
}
# Words that other APIs put behind a task's id, and the path that each stands for.
VERBS = {
    "toggle": "/api/me/tasks/{task_id}/complete",
    "completed": "/api/me/tasks/{task_id}/complete",
    "done": "/api/me/tasks/{task_id}/complete",
    "status": "/api/me/tasks/{task_id}/complete",
    "restore": "/api/me/trash/{task_id}/restore",
    "undo": "/api/me/trash/{task_id}/restore",
}


def is_misplaced(segment: str) -> bool:
    """Return whether a path has this word where its user should be, so that no 403 explains what is wrong."""
    return segment.lower() in NOUNS or segment.lower() in AUTH or VERSIONED.fullmatch(segment.lower()) is not None


def for_path(path: str) -> str:
    """Return the sentence for a path that is no route, or that names no user. It never quotes the path."""
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
