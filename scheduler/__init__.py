"""The scheduler for LangGraph projects: the public names, nothing else."""

from scheduler.errors import SchedulerError, StoreError, TaskNotFoundError
from scheduler.models import OverlapPolicy, Run, RunStatus, TaskDefinition, TaskType
from scheduler.schedule import next_due_times
from scheduler.task_scheduler import TaskScheduler

__all__ = [
    "OverlapPolicy",
    "Run",
    "RunStatus",
    "SchedulerError",
    "StoreError",
    "TaskDefinition",
    "TaskNotFoundError",
    "TaskScheduler",
    "TaskType",
    "next_due_times",
]
