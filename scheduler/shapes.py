"""Tasks and runs as `--json` and the web view have them: one shape each; docs/command-line.md states them."""

from datetime import UTC, datetime
from typing import Any

from scheduler.models import Run, TaskDefinition, TaskType
from scheduler.phrases import describe
from scheduler.timing.schedule import next_due_times
from scheduler.views import TaskView


def run_shape(run: Run) -> dict[str, Any]:
    """Return a run: the fields of `Run`, and how long its latest attempt took."""
    return {**run.model_dump(mode="json"), "duration_seconds": took(run.started_at, run.finished_at)}


def task_shape(task: TaskView, last_run: Run | None) -> dict[str, Any]:
    """Return a task, with its newest run."""
    definition = task.definition
    return {
        "id": task.id,
        "name": task.name,
        "state": str(task.state),
        "next_due": None if task.next_due is None else task.next_due.isoformat(),
        "timezone": task.timezone,
        "schedule": None if definition is None else in_words(definition, task.timezone),
        "pause_reason": task.pause_reason,
        "paused_since": None if task.paused_since is None else task.paused_since.isoformat(),
        "paused_until": None if task.paused_until is None else task.paused_until.isoformat(),
        "problem": task.problem,
        "source": task.source,
        "finished_at": None if task.finished_at is None else task.finished_at.isoformat(),
        "finish_reason": task.finish_reason,
        "last_run": None if last_run is None else run_shape(last_run),
        "definition": None if definition is None else definition.model_dump(mode="json"),
    }


def in_words(task: TaskDefinition, timezone: str | None) -> str:
    """Return the schedule of a task in words, in the zone that is in force for it."""
    return describe(task.model_copy(update={"timezone": timezone}) if has_clock(task) else task)


def has_clock(task: TaskDefinition) -> bool:
    """Tell whether a task is due by the clock of a zone."""
    return task.task_type in {TaskType.CRON, TaskType.RRULE}


def due_times(task: TaskView, number: int) -> list[datetime]:
    """Return the next due times of a task in its zone, where they can be computed; none while it is paused."""
    due, definition = task.next_due, task.definition
    if due is None or definition is None:
        return []
    is_interval = definition.task_type is TaskType.INTERVAL and definition.start_at is None
    if is_interval and definition.jitter_seconds:
        return [due]  # the others depend on when the task was added
    if definition.rrule is not None and definition.start_at is None:
        if definition.jitter_seconds:
            return [due]
        definition = definition.model_copy(update={"start_at": due})  # it is the start, or in step with it
    placed = definition if is_interval else definition.model_copy(update={"timezone": task.timezone})
    try:
        return [due, *next_due_times(placed, number - 1, due.astimezone(UTC))]
    except (ValueError, OverflowError):  # it lies at an end of the calendar
        return [due]


def took(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds between two instants, or None where one is missing."""
    return None if start is None or end is None else (end - start).total_seconds()


def shown_seconds(seconds: float | None) -> str:
    """Return a duration as a person reads it: `12 ms`, `0.3 s`, `2 min 5 s`, `3 h 0 min`."""
    if seconds is None:
        return "-"
    if 0 <= seconds < 0.1:  # noqa: PLR2004 (what one decimal would show as next to nothing)
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 (a minute)
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 (an hour)
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
