"""What pages read from the store, for what one person may see: bounded, whatever the store holds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from scheduler import TaskScheduler
from scheduler.models import Run, RunStatus
from scheduler.views import TaskState, TaskView
from scheduler.web.visit import Visit

BAD_STATUSES: Final = (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.INTERRUPTED, RunStatus.MISSED)
"""How a run ends that went wrong."""
_MOST_PAGES: Final = 20
"""So many pages of the store are looked through for what one person may see."""
_LOOK: Final = 200
_NUMBERS: Final = re.compile(r"[0-9a-f]{8,}|\d+")


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of the history."""

    runs: list[Run]
    older: str | None
    """The id with which the next page begins; None: there is no more."""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of tasks."""

    tasks: list[TaskView]
    after: str | None
    """The id with which the next page begins; None: there is no more."""


def find_runs(scheduler: TaskScheduler, visit: Visit, limit: int, *, before: str | None, **filters: Any) -> RunPage:  # noqa: ANN401 (those of `list_runs`)
    """Return at most `limit` runs that a person sees, newest first."""
    if visit.access.sees is None:
        found = scheduler.list_runs(limit=limit + 1, before=before, **filters)
        return RunPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
    seen: list[Run] = []
    for _ in range(_MOST_PAGES):
        page = scheduler.list_runs(limit=_LOOK, before=before, **filters)
        for run in page:
            if len(seen) == limit:
                return RunPage(seen, before)
            before = run.id
            if visit.sees(run.task_id):
                seen.append(run)
        if len(page) < _LOOK:
            return RunPage(seen, None)
    return RunPage(seen, before)


def find_tasks(scheduler: TaskScheduler, visit: Visit, limit: int, *, after: str | None, **filters: Any) -> TaskPage:  # noqa: ANN401 (those of `find_tasks`)
    """Return at most `limit` tasks that a person sees, by id."""
    if visit.access.sees is None:
        found = scheduler.find_tasks(limit=limit + 1, after=after, **filters)
        return TaskPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
    seen: list[TaskView] = []
    for _ in range(_MOST_PAGES):
        page = scheduler.find_tasks(limit=_LOOK, after=after, **filters)
        for task in page:
            if len(seen) == limit:
                return TaskPage(seen, after)
            after = task.id
            if visit.sees(task.id):
                seen.append(task)
        if len(page) < _LOOK:
            return TaskPage(seen, None)
    return TaskPage(seen, after)


def next_tasks(scheduler: TaskScheduler, visit: Visit, limit: int) -> list[TaskView]:
    """Return the tasks that a person sees, those that are due next first."""
    if visit.access.sees is None:
        return scheduler.task_views(limit=limit)
    return [task for task in scheduler.task_views() if visit.sees(task.id)][:limit]


def runs_of(scheduler: TaskScheduler, tasks: Iterable[TaskView], limit: int) -> dict[str, list[Run]]:
    """Return the newest runs of each task, newest first."""
    return {task.id: scheduler.list_runs(task.id, limit=limit) for task in tasks}


@dataclass(slots=True)
class Trouble:
    """Runs that went wrong in the same way."""

    error: str
    runs: list[Run]
    """Newest first."""

    @property
    def task_ids(self) -> list[str]:
        """The tasks that it happened to, the latest first."""
        return list(dict.fromkeys(run.task_id for run in self.runs))


def troubles(scheduler: TaskScheduler, visit: Visit, hours: int, limit: int) -> tuple[list[Trouble], bool]:
    """Return what went wrong of late, by error, the latest first; and whether there is more than was looked at."""
    since: datetime = visit.now - timedelta(hours=hours)
    page = find_runs(scheduler, visit, limit, before=None, statuses=BAD_STATUSES, since=since)
    groups: dict[tuple[RunStatus, str], Trouble] = {}
    for run in page.runs:
        error = run.error or str(run.status).replace("_", " ")
        key = (run.status, _alike(error))
        groups.setdefault(key, Trouble(error, [])).runs.append(run)
    return list(groups.values()), page.older is not None


def _alike(error: str) -> str:
    """Return what errors have in common that are the same but for numbers and ids."""
    first = error.strip().split("\n", 1)[0]
    return _NUMBERS.sub("#", first)[:200]


STATES: Final = tuple(TaskState)
