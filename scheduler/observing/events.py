"""What listeners receive: events of runs, and events of tasks."""

from enum import StrEnum
from typing import ClassVar, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict

from scheduler.models import Run


class RunEventKind(StrEnum):
    """What has happened to a run; the words of `RunStatus`, and some for what happens on the way."""

    #: An attempt begins; the run is stored as `running`.
    STARTED = "started"
    #: A node of the graph has returned; only for tasks with `stream`.
    STEP_FINISHED = "step_finished"
    #: The attempt ended, and a further one will follow; `earlier_attempts` of the run says how it ended.
    RETRYING = "retrying"
    #: The graph asked a human.
    WAITING = "waiting"
    #: Nobody has answered yet, and the run will be cancelled because of `expire_waiting_after_seconds`.
    EXPIRING = "expiring"
    #: The graph returned.
    SUCCEEDED = "succeeded"
    #: The graph returned, and `result_callback` raised or took too long; the run is stored as `succeeded`.
    CALLBACK_FAILED = "callback_failed"
    #: The graph raised, at the last attempt.
    FAILED = "failed"
    #: The last attempt took longer than `timeout_seconds`.
    TIMED_OUT = "timed_out"
    #: The run was cancelled.
    CANCELLED = "cancelled"
    #: Its process died or was stopped, and it will not continue.
    INTERRUPTED = "interrupted"
    #: A due time was not started, because of the overlap policy.
    SKIPPED = "skipped"
    #: A due time was not started, because it was later than `misfire_grace_seconds`.
    MISSED = "missed"


class TaskEventKind(StrEnum):
    """What has happened to a task, or will."""

    #: The task was paused, because of `pause_after_failures`.
    PAUSED = "paused"
    #: The task has no due time left, and its last run is over.
    FINISHED = "finished"
    #: Its `end_at` is near, or its last run by `max_runs` has been claimed: soon it will be finished.
    EXPIRING = "expiring"
    #: Its stored row is damaged, so that it cannot run.
    QUARANTINED = "quarantined"


class RunEvent(BaseModel):
    """Something that has happened to a run, and is stored already, but for a step."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    kind: RunEventKind
    """What has happened."""
    at: AwareDatetime
    """When, in UTC."""
    run: Run
    """The run as stored at that moment; for a step, with its `current_step`."""


class TaskEvent(BaseModel):
    """Something that has happened to a task, and is stored already; or that will happen to it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    kind: TaskEventKind
    """What has happened, or will."""
    at: AwareDatetime
    """When, in UTC."""
    task_id: str
    """The id of the task."""
    reason: str
    """Why."""
    run: Run | None
    """The newest run of the task; None if it has none."""


Event: TypeAlias = RunEvent | TaskEvent
EventKind: TypeAlias = RunEventKind | TaskEventKind
