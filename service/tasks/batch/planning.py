"""Add plans to the operations of a batch that write repeating tasks.

A plan is valid for one version of its task (see `service.tasks.plans`), and only an attempt shows the versions that its
operations write. The operations on one task are planned together: each plan is computed from the task as the plan
before it leaves the task, and is valid for the version that this plan is expected to write.

A wrong expectation costs one more attempt, and nothing else: no operation in between may write the task, so the
expected version can only belong to the expected task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.database.operations import Operation, Quotas, Result
from service.errors import DoableError
from service.tasks import plans
from service.tasks.outcomes import DONE
from service.tasks.plans import Plan

PLANNED = frozenset({"update", "complete", "skip"})  # verbs
KNOWN = PLANNED | {"create"}  # verbs of operations that write no other tasks than the relatives of theirs
NEUTRAL = frozenset({"create_list", "update_list"})  # verbs of operations that write no task
FORESEEN = plans.SHOWN | {"title_key", "description_key", "tag_keys", "repeat", "plan"}  # columns
ALONE = 2  # elements of a plan that writes no successor


async def add_plans(
    sent: list[Operation], operations: Sequence[Operation], done: Sequence[Result], quotas: Quotas
) -> None:
    """Add plans to `sent`, the form of `operations` that was sent in the attempt with the results `done`.

    Accepted plans stay. Their versions move, because the next attempt writes more. Yields to the event loop after each
    new plan, because one may take milliseconds.
    """
    forecast = _Forecast(sent, operations, done, quotas)
    for index in range(len(done)):
        if forecast.follow(index):
            await asyncio.sleep(0)


class _Relatives(Struct):
    """The members of a task's JSON that show which other tasks a write of it may write."""

    id: int
    parent_id: int | None
    series: str | None

    def include(self, other: _Relatives) -> bool:
        """Return whether a write of this task may write the other one.

        It may write the family, the successor, and the subtasks of the successor, which may be any subtask.
        """
        if self.series is not None and (self.series == other.series or other.parent_id is not None):
            return True
        return other.parent_id == self.id or self.parent_id == other.id


@dataclass(slots=True)
class _Chain:
    """The operations on one task so far, in the next attempt. No other operation between them may write the task."""

    relatives: _Relatives
    version: int | None = None  # the expected one after the last operation, if that has a plan or creates the task
    task: dict[str, Any] | None = None  # the members of the JSON after the last operation, if its plan is a new one
    free: list[int] = field(default_factory=list)  # the operations at the end that need no plan


class _Forecast:
    """What the next attempt is expected to write, operation after operation."""

    def __init__(
        self, sent: list[Operation], operations: Sequence[Operation], done: Sequence[Result], quotas: Quotas
    ) -> None:
        self._sent, self._operations, self._done, self._quotas = sent, operations, done, quotas
        self._chains: dict[int, _Chain] = {}  # by the id of the task
        self._begun = set[int]()  # the ids of tasks with new plans
        self._revision = 0  # the newest version in the last attempt, up to the current operation
        self._added = 0  # the number of versions that the next attempt writes in addition, up to there
        self._moves = any("parent_id" in operation.changes for operation in operations)

    def follow(self, index: int) -> bool:
        """Follow an operation, and plan it if it needs a new plan. Return whether it has one."""
        operation, result = self._operations[index], self._done[index]
        before, self._revision = self._revision, max(self._revision, result.version or 0)
        if operation.verb in NEUTRAL:
            return False
        if operation.verb not in KNOWN or result.outcome not in {*DONE, plans.UNPLANNED, plans.REFUSED}:
            self._chains.clear()
            return False
        chain = self._chain(msgspec.json.decode(result.document or "", type=_Relatives))
        if operation.verb == "create":
            chain.version, chain.task = (result.version or 0) + self._added, None
            if result.outcome != "done":
                del self._chains[chain.relatives.id]
        elif result.outcome == plans.UNPLANNED or chain.task:  # an old plan may have been accepted by chance
            return self._plan(index, chain, before)
        elif "plan" in self._sent[index].changes:
            self._keep(index, chain)
        else:
            chain.version = None
            chain.free.append(index)
        return False

    def _chain(self, relatives: _Relatives) -> _Chain:
        """Return the chain of a task, and end the chains of the tasks that this operation may write, too."""
        for other in [*self._chains.values()]:
            if other.relatives.id != relatives.id and (self._moves or relatives.include(other.relatives)):
                del self._chains[other.relatives.id]
        return self._chains.setdefault(relatives.id, _Chain(relatives))

    def _plan(self, index: int, chain: _Chain, before: int) -> bool:
        """Plan an operation, unless that must wait for the next attempt. `before` is the newest version before it."""
        operation, result, id_ = self._operations[index], self._done[index], chain.relatives.id
        if chain.version is None:
            if id_ in self._begun or chain.free:
                self._wait(index, chain)
                return False
            chain.version = result.version
        self._begun.add(id_)
        task = {**(chain.task or msgspec.json.decode(result.document or "")), "version": chain.version}
        try:
            self._sent[index] = plans.planned(operation, msgspec.json.encode(task).decode(), self._quotas)
        except DoableError:
            self._sent[index], chain.task = plans.refused(operation, chain.version), task
            return True
        chain.task = plans.performed(self._sent[index], task)
        if chain.task != task or operation.changes.keys() - FORESEEN:
            if result.outcome in DONE and self._revision > before:  # the last attempt has written it, too
                chain.version = before + self._added + 1
                self._revision += self._successors(index)
            else:
                chain.version = self._revision + self._added + 1
                self._added += 1 + self._successors(index)
        return True

    def _wait(self, index: int, chain: _Chain) -> None:
        """Let an operation wait, because other operations on its task come first.

        Those that needed no plan get one, too: the versions that they write depend on the operations before them.
        """
        for free in () if chain.relatives.id in self._begun else chain.free:
            operation = self._operations[free]
            self._sent[free] = operation._replace(changes={**operation.changes, **plans.TO_BE_PLANNED})
        self._sent[index] = self._operations[index]
        self._begun.add(chain.relatives.id)
        del self._chains[chain.relatives.id]

    def _keep(self, index: int, chain: _Chain) -> None:
        """Keep a plan that was accepted, for the expected version of its task."""
        result, (version, *plan) = self._done[index], cast("Plan", self._sent[index].changes["plan"])
        if chain.version is None:
            chain.version = int(version or 0)
        changes = {**self._sent[index].changes, "plan": [str(chain.version), *plan]}
        self._sent[index] = self._sent[index]._replace(changes=changes)
        if str(result.version) != version:
            chain.version = (result.version or 0) + self._added
            self._revision = max(self._revision, (result.version or 0) + self._successors(index))
        chain.free.clear()

    def _successors(self, index: int) -> int:
        """Return the number of successors that an operation creates or takes back, without their subtasks."""
        return int(len(cast("Plan", self._sent[index].changes["plan"])) > ALONE)
