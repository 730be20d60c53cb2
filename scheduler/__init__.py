"""The scheduler for LangGraph projects: the public names, nothing else."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from scheduler import garbage

with garbage.held_off():  # else the import of so many modules sets off a collection of them all, which finds nothing
    from scheduler.errors import RunNotFoundError, SchedulerError, StoreError, TaskNotFoundError
    from scheduler.models import (
        OverlapPolicy,
        Run,
        RunStatus,
        SessionMode,
        TaskChanges,
        TaskDefinition,
        TaskType,
        TokenUsage,
    )
    from scheduler.observing import RunEvent, RunEventKind
    from scheduler.schedule import next_due_times
    from scheduler.task_scheduler import TaskScheduler

if TYPE_CHECKING:
    from scheduler.tasks_file import load_tasks
    from scheduler.words import describe, parse_schedule

__all__ = [
    "OverlapPolicy",
    "Run",
    "RunEvent",
    "RunEventKind",
    "RunNotFoundError",
    "RunStatus",
    "SchedulerError",
    "SessionMode",
    "StoreError",
    "TaskChanges",
    "TaskDefinition",
    "TaskNotFoundError",
    "TaskScheduler",
    "TaskType",
    "TokenUsage",
    "describe",
    "load_tasks",
    "next_due_times",
    "parse_schedule",
]

_LATER: Final = {
    "describe": "scheduler.words",
    "load_tasks": "scheduler.tasks_file",
    "parse_schedule": "scheduler.words",
}
"""What is imported when it is first asked for: not every program says schedules in words, or reads a file of tasks."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 (of any type)
    """Import a name that is not needed by all."""
    if name not in _LATER:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found
