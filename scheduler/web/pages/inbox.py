"""What graphs ask: the runs that wait for an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from scheduler import TaskScheduler
from scheduler.errors import TaskNotFoundError
from scheduler.models import Run, RunStatus
from scheduler.shapes import run_shape
from scheduler.views import TaskView
from scheduler.web.answering import quick_decisions
from scheduler.web.lookup import find_runs
from scheduler.web.visit import Page, Visit

PAGE: Final = 25


@dataclass(frozen=True, slots=True)
class Item:
    """A run that waits."""

    run: Run
    name: str
    """The name of its task."""
    quick: list[str]
    """What can be decided with one button."""
    expires_at: datetime | None
    """About when it is cancelled if nobody answers."""


def inbox(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return the runs that wait, newest first."""
    before = visit.given("before")
    page = find_runs(scheduler, visit, PAGE, before=before, status=RunStatus.WAITING)
    tasks = _tasks_of(scheduler, page.runs)
    items = [_item(run, tasks.get(run.task_id)) for run in page.runs]

    def shape() -> list[dict[str, Any]]:
        return [run_shape(run) for run in page.runs]

    return Page("inbox.html", "Inbox", {"items": items, "older": page.older, "before": before}, shape)


def _tasks_of(scheduler: TaskScheduler, runs: list[Run]) -> Mapping[str, TaskView]:
    found: dict[str, TaskView] = {}
    for task_id in {run.task_id for run in runs}:
        try:
            found[task_id] = scheduler.task_view(task_id)
        except TaskNotFoundError:
            continue  # it is being removed
    return found


def _item(run: Run, task: TaskView | None) -> Item:
    definition = None if task is None else task.definition
    name = run.task_id if task is None else task.name
    seconds = None if definition is None else definition.expire_waiting_after_seconds
    # The clock starts when the graph asks, a little later than its attempt.
    ends = None if seconds is None or run.started_at is None else _later(run.started_at, seconds)
    return Item(run, name, quick_decisions(run), ends)


def _later(moment: datetime, seconds: float) -> datetime | None:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return None
