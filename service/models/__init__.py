"""The tables and their user-scoped managers. Tortoise and aerich find the models here."""

from service.models.archive import UserArchive
from service.models.batch import Operation, Outcome, Quotas
from service.models.changes import START, Change, ChangePage, SyncPosition, positions_of_several_users
from service.models.expected import Expected
from service.models.idempotency import AnswerQuota, Attempt, IdempotencyKey, KeyedWrites
from service.models.importing import Added
from service.models.listing import Page, Position, TaskQuery
from service.models.positions import Positions
from service.models.task import Priority, Task
from service.models.task_sql import MAXIMUM_BIGINT
from service.models.trash import UserTrash
from service.models.uids import new_uid
from service.models.user import User
from service.models.user_tasks import StoredTask, TaskChanges, UserTasks

__all__ = [
    "MAXIMUM_BIGINT",
    "START",
    "Added",
    "AnswerQuota",
    "Attempt",
    "Change",
    "ChangePage",
    "Expected",
    "IdempotencyKey",
    "KeyedWrites",
    "Operation",
    "Outcome",
    "Page",
    "Position",
    "Positions",
    "Priority",
    "Quotas",
    "StoredTask",
    "SyncPosition",
    "Task",
    "TaskChanges",
    "TaskQuery",
    "User",
    "UserArchive",
    "UserTasks",
    "UserTrash",
    "new_uid",
    "positions_of_several_users",
]
