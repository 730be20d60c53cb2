"""What could keep tasks from running, as far as the store tells."""

import importlib.metadata
import zoneinfo
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from scheduler import TaskScheduler
from scheduler.shapes import shown_seconds
from scheduler.views import TaskState
from scheduler.web.lookup import find_runs, find_tasks, next_tasks
from scheduler.web.visit import Page, Visit

_MOST: Final = 50
_LATE: Final = timedelta(minutes=1)
_SLACK: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what was found; as `task-scheduler check` prints it."""

    name: str
    ok: bool
    detail: str
    task_id: str | None = None
    """The task that it is about."""


def health(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return the findings, those that are not fine first."""
    found = sorted(_findings(scheduler, visit), key=lambda each: each.ok)

    def shape() -> dict[str, Any]:
        checks = [{name: value for name, value in asdict(each).items() if name != "task_id"} for each in found]
        return {"ok": all(each.ok for each in found), "checks": checks}

    return Page("health.html", "Health", {"findings": found}, shape)


def _findings(scheduler: TaskScheduler, visit: Visit) -> Iterator[Finding]:
    number = scheduler.running_schedulers()
    running = f"{number} running" if number else "none is running: nothing starts until one does"
    yield Finding("schedulers", number > 0, running)
    yield from _unusable(scheduler, visit)
    yield from _late(scheduler, visit, is_running=number > 0)
    yield _clock(scheduler, visit)
    yield _zones()


def _unusable(scheduler: TaskScheduler, visit: Visit) -> Iterator[Finding]:
    page = find_tasks(scheduler, visit, _MOST, after=None, state=TaskState.UNUSABLE)
    for task in page.tasks:
        yield Finding(f"task {task.id}", ok=False, detail=task.problem or "it cannot run", task_id=task.id)
    more = f"{len(page.tasks)}{' or more' if page.after else ''}"
    yield Finding("tasks", not page.tasks, f"{more} cannot run" if page.tasks else "all can be used")


def _late(scheduler: TaskScheduler, visit: Visit, *, is_running: bool) -> Iterator[Finding]:
    """Say which due times have passed and have not been served."""
    due = [task for task in next_tasks(scheduler, visit, _MOST) if task.next_due is not None]
    late = [task for task in due if task.next_due is not None and visit.now - task.next_due > _LATE]
    for task in late:
        waited = shown_seconds((visit.now - (task.next_due or visit.now)).total_seconds())
        why = "the scheduler is busy: its slots are taken" if is_running else "no scheduler is running"
        yield Finding(f"task {task.id}", ok=False, detail=f"it is due since {waited}; {why}", task_id=task.id)
    if not late:
        yield Finding("due times", ok=True, detail="none is late")


def _clock(scheduler: TaskScheduler, visit: Visit) -> Finding:
    newest = find_runs(scheduler, visit, 1, before=None).runs
    began = newest[0].started_at if newest else None
    if began is not None and began > visit.now + _SLACK:
        detail = f"the newest run began at {began.isoformat(' ', 'seconds')}: the clock was put back"
        return Finding("clock", ok=False, detail=detail)
    return Finding("clock", ok=True, detail=visit.now.isoformat(" ", "seconds"))


def _zones() -> Finding:
    try:
        version = importlib.metadata.version("tzdata")
    except importlib.metadata.PackageNotFoundError as error:
        return Finding("time zones", ok=False, detail=f"{error}; install tzdata")
    number = len(zoneinfo.available_timezones())
    return Finding("time zones", ok=True, detail=f"{number} zones; tzdata {version} where the system has none")
