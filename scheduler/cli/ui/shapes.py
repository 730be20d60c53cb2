"""Tasks and runs as `--json` prints them: one shape each, in every command; docs/command-line.md states them."""

from datetime import UTC, datetime
from typing import Any, Final

from scheduler import Run, TaskDefinition, TaskType, describe, next_due_times
from scheduler.cli.ui.moments import took

_TROUBLE: Final = "error: "
_STATES: Final = frozenset({"paused", "running", "waiting"})


def run_shape(run: Run) -> dict[str, Any]:
    """Return a run: the fields of `Run`, and how long its latest attempt took."""
    return {**run.model_dump(mode="json"), "duration_seconds": took(run.started_at, run.finished_at)}


def task_shape(listed: dict[str, Any], last_run: Run | None) -> dict[str, Any]:
    """Return a task, from an item of `list_tasks`."""
    next_run: str = listed["next_run"]
    task: TaskDefinition | None = listed["definition"]
    return {
        "id": listed["id"],
        "name": listed["name"],
        "state": state_of(next_run),
        "next_due": None if (due := due_of(listed)) is None else due.isoformat(),
        "timezone": listed["timezone"],
        "schedule": None if task is None else in_words(task, listed["timezone"]),
        "pause_reason": listed["pause_reason"],
        "problem": listed["problem"],
        "last_run": None if last_run is None else run_shape(last_run),
        "definition": None if task is None else task.model_dump(mode="json"),
    }


def finished_shape(task: TaskDefinition, last_run: Run | None) -> dict[str, Any]:
    """Return a task that is finished, and so not listed any more."""
    listed = {"id": task.id, "name": task.name, "next_run": "finished", "pause_reason": None, "definition": task}
    listed["problem"] = None
    return task_shape({**listed, "timezone": task.timezone}, last_run)


def state_of(next_run: str) -> str:
    """Return `scheduled`, `paused`, `running`, `waiting`, `finished` or `unusable`."""
    if next_run.startswith(_TROUBLE):
        return "unusable"
    return next_run if next_run in _STATES or next_run == "finished" else "scheduled"


def due_of(listed: dict[str, Any]) -> datetime | None:
    """Return the next due time of a listed task in its zone, or None if it is not scheduled."""
    next_run: str = listed["next_run"]
    return datetime.fromisoformat(next_run) if state_of(next_run) == "scheduled" else None


def in_words(task: TaskDefinition, timezone: str | None) -> str:
    """Return the schedule of a task in words, in the zone that is in force for it."""
    is_cron = task.task_type is TaskType.CRON
    return describe(task.model_copy(update={"timezone": timezone}) if is_cron else task)


def due_times(listed: dict[str, Any], number: int) -> list[datetime]:
    """Return the next due times of a listed task in its zone, where they can be computed; none while it is paused."""
    due, task = due_of(listed), listed["definition"]
    if due is None or task is None:
        return []
    is_interval = task.task_type is TaskType.INTERVAL and task.start_at is None
    if is_interval and task.jitter_seconds:
        return [due]  # the others depend on when the task was added
    placed: TaskDefinition = task if is_interval else task.model_copy(update={"timezone": listed["timezone"]})
    try:
        return [due, *next_due_times(placed, number - 1, due.astimezone(UTC))]
    except (ValueError, OverflowError):  # it lies at an end of the calendar
        return [due]
