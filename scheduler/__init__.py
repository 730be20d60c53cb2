"""The scheduler for LangGraph projects: the public names, nothing else.

A name is imported when it is first asked for. So a program pays for what it uses, and `python -m scheduler` imports
nothing before it has taken the working directory off the path.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scheduler.answering import Decision
    from scheduler.calendars import Calendar
    from scheduler.errors import RunNotFoundError, SchedulerError, StoreError, TaskChangedError, TaskNotFoundError
    from scheduler.models import (
        CurrentRun,
        OverlapPolicy,
        Run,
        RunStatus,
        SessionMode,
        TaskChanges,
        TaskDefinition,
        TaskType,
        TokenUsage,
    )
    from scheduler.observing import RunEvent, RunEventKind, TaskEvent, TaskEventKind
    from scheduler.phrases import describe, parse_schedule
    from scheduler.programs import run_until_signal
    from scheduler.task_scheduler import TaskScheduler
    from scheduler.tasks_file import load_tasks
    from scheduler.timing.schedule import DueTime, next_due_times
    from scheduler.views import TaskState, TaskView

__all__ = [
    "Calendar",
    "CurrentRun",
    "Decision",
    "DueTime",
    "OverlapPolicy",
    "Run",
    "RunEvent",
    "RunEventKind",
    "RunNotFoundError",
    "RunStatus",
    "SchedulerError",
    "SessionMode",
    "StoreError",
    "TaskChangedError",
    "TaskChanges",
    "TaskDefinition",
    "TaskEvent",
    "TaskEventKind",
    "TaskNotFoundError",
    "TaskScheduler",
    "TaskState",
    "TaskType",
    "TaskView",
    "TokenUsage",
    "describe",
    "load_tasks",
    "next_due_times",
    "parse_schedule",
    "run_until_signal",
]

_MODULE_OF: Final = {
    "Calendar": "calendars",
    "CurrentRun": "models",
    "Decision": "answering",
    "DueTime": "timing.schedule",
    "OverlapPolicy": "models",
    "Run": "models",
    "RunEvent": "observing",
    "RunEventKind": "observing",
    "RunNotFoundError": "errors",
    "RunStatus": "models",
    "SchedulerError": "errors",
    "SessionMode": "models",
    "StoreError": "errors",
    "TaskChangedError": "errors",
    "TaskChanges": "models",
    "TaskDefinition": "models",
    "TaskEvent": "observing",
    "TaskEventKind": "observing",
    "TaskNotFoundError": "errors",
    "TaskScheduler": "task_scheduler",
    "TaskState": "views",
    "TaskType": "models",
    "TaskView": "views",
    "TokenUsage": "models",
    "describe": "phrases",
    "load_tasks": "tasks_file",
    "next_due_times": "timing.schedule",
    "parse_schedule": "phrases",
    "run_until_signal": "programs",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (of any type)
    """Import a public name. Raises `AttributeError` for any other."""
    if name not in _MODULE_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = globals()[name] = getattr(import_module(f"scheduler.{_MODULE_OF[name]}"), name)
    return found


def __dir__() -> list[str]:
    """Return the public names too, imported or not."""
    return sorted({*globals(), *__all__})
