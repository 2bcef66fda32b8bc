"""The tasks of the caller of a request. Only routes that require a token may use this module."""

from __future__ import annotations

from service.database.operations import Quotas
from service.tasks.models import Task
from service.tasks.writes import UserTasks
from service.web.request import ApiRequest


def tasks_of(request: ApiRequest) -> UserTasks:
    """Return the tasks of the token's user, and of no other user."""
    caller = request.caller
    return Task.objects.for_user(caller.user_id, using=request.database, email=caller.email, name=caller.name)


def quotas_of(request: ApiRequest) -> Quotas:
    """Return the numbers of live and deleted tasks that the settings allow one user."""
    return Quotas(request.settings.task_quota, request.settings.trash_quota)
