"""RunEvent: what listeners are told of runs."""

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from scheduler.models import Run


class RunEventKind(StrEnum):
    """What has happened to a run; the words of `RunStatus`, and three for what happens on the way."""

    #: An attempt begins; the run is stored as `running`.
    STARTED = "started"
    #: A node of the graph has returned; only for tasks with `stream`.
    STEP_FINISHED = "step_finished"
    #: The attempt ended, and a further one will follow; `earlier_attempts` of the run says how it ended.
    RETRYING = "retrying"
    #: The graph asked a human.
    WAITING = "waiting"
    #: The graph returned.
    SUCCEEDED = "succeeded"
    #: The graph raised, at the last attempt.
    FAILED = "failed"
    #: The last attempt took longer than `timeout_seconds`.
    TIMED_OUT = "timed_out"
    #: The run was cancelled.
    CANCELLED = "cancelled"
    #: Its process died or was stopped, and it will not go on.
    INTERRUPTED = "interrupted"
    #: A due time was not started, because of the overlap policy.
    SKIPPED = "skipped"
    #: A due time was not started, because it was later than `misfire_grace_seconds`.
    MISSED = "missed"


class RunEvent(BaseModel):
    """Something that has happened to a run, and is stored already, but for a step."""

    model_config = ConfigDict(frozen=True)

    kind: RunEventKind
    """What has happened."""
    at: AwareDatetime
    """When, in UTC."""
    run: Run
    """The run as it stands in the store then; with its `current_step`, for a step."""
