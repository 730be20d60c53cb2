"""The first page: what runs, what comes next, what went wrong, what is asked."""

from datetime import timedelta
from typing import Any, Final

from scheduler import TaskScheduler
from scheduler.models import Run, RunStatus
from scheduler.shapes import in_words, run_shape, task_shape
from scheduler.views import TaskState, TaskView
from scheduler.web import timeline
from scheduler.web.lookup import BAD_STATUSES, Trouble, find_runs, next_tasks, runs_of, troubles
from scheduler.web.visit import Page, Visit

HOURS: Final = 24
_TASKS: Final = 25
_CARD: Final = 6
_MOST_TROUBLE: Final = 300
_STRIP: Final = 30
_ROWS: Final = 12
"""So many tasks are in the picture."""
_MOST_RUNS: Final = 200
"""So many runs of a task are in it."""


def today(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return the first page."""
    asking = find_runs(scheduler, visit, _CARD, before=None, status=RunStatus.WAITING)
    running = find_runs(scheduler, visit, _CARD, before=None, status=RunStatus.RUNNING)
    pending = find_runs(scheduler, visit, _CARD, before=None, status=RunStatus.PENDING)
    groups, has_more = troubles(scheduler, visit, HOURS, _MOST_TROUBLE)
    tasks = next_tasks(scheduler, visit, _TASKS)
    coming = [task for task in tasks if task.state is TaskState.SCHEDULED][:_CARD]
    runs = runs_of(scheduler, tasks, _STRIP)
    rows = timeline.timeline(tasks[:_ROWS], _lately(scheduler, visit, tasks[:_ROWS], runs), visit.now)

    def shape() -> dict[str, Any]:
        return {
            "now": visit.now.isoformat(),
            "waiting": [run_shape(run) for run in asking.runs],
            "running": [run_shape(run) for run in running.runs],
            "pending": [run_shape(run) for run in pending.runs],
            "went_wrong": [_trouble_shape(group) for group in groups],
            "next": [task_shape(task, _newest(runs, task)) for task in coming],
        }

    values = {
        "asking": asking,
        "running": running,
        "pending": pending,
        "troubles": groups,
        "has_more_trouble": has_more,
        "hours": HOURS,
        "bad_statuses": BAD_STATUSES,
        "coming": coming,
        "tasks": tasks,
        "has_more_tasks": len(tasks) == _TASKS,
        "runs": runs,
        "words": words_of(tasks),
        "rows": rows,
        "ticks": timeline.ticks(visit.now),
    }
    return Page("today.html", "Today", values, shape)


def words_of(tasks: list[TaskView]) -> dict[str, str | None]:
    """Return the schedules of tasks in words, by their ids."""
    return {task.id: None if task.definition is None else in_words(task.definition, task.timezone) for task in tasks}


def _lately(
    scheduler: TaskScheduler, visit: Visit, tasks: list[TaskView], runs: dict[str, list[Run]]
) -> dict[str, list[Run]]:
    """Return the runs of the last hours; more of them are read of tasks that run often."""
    since = visit.now - timedelta(hours=timeline.HOURS)
    found = {}
    for task in tasks:
        newest = runs[task.id]
        is_all = len(newest) < _STRIP or newest[-1].scheduled_at < since
        found[task.id] = newest if is_all else scheduler.list_runs(task.id, since=since, limit=_MOST_RUNS)
    return found


def _newest(runs: dict[str, list[Run]], task: TaskView) -> Run | None:
    return next(iter(runs[task.id]), None)


def _trouble_shape(group: Trouble) -> dict[str, Any]:
    newest = group.runs[0]
    return {
        "error": group.error,
        "status": str(newest.status),
        "number": len(group.runs),
        "tasks": group.task_ids,
        "newest_run": newest.id,
    }
