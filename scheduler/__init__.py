"""The scheduler for LangGraph projects: the public names, nothing else."""

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
from scheduler.schedule import next_due_times
from scheduler.task_scheduler import TaskScheduler
from scheduler.tasks_file import load_tasks
from scheduler.words import describe, parse_schedule

__all__ = [
    "OverlapPolicy",
    "Run",
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
