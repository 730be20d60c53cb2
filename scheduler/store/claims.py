"""What one pass claims, what it notes on the way, and who claims."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from scheduler.meter import Meter
from scheduler.models import RunStatus, RunTrigger, TaskDefinition
from scheduler.store.unloadable import Changes, NeedsLoading

CANCELLED_BY_NEXT: Final = "the task became due again (overlap=cancel_other)"
"""The reason in runs that `OverlapPolicy.CANCEL_OTHER` ended."""


@dataclass(slots=True)
class Claim:
    """An attempt of a run that this process has taken and must now start.

    Nobody changes it. It is not frozen, because creating a frozen one takes three times as long.
    """

    run_id: str
    task: TaskDefinition
    scheduled_at: int
    attempt: int
    coalesced: int
    trigger: RunTrigger
    thread_id: str
    next_due: int | None
    """The task's next due time after the claim."""
    checkpointed: bool = False
    """Whether the graph has a checkpointer, so that the run may be continued."""
    starts_at: int | None = None
    """When to start it, if it was claimed a moment before its due time; None: at once."""
    last_status: RunStatus | None = None
    """How the attempt before this one ended; None for the first."""
    interrupted: tuple[int, ...] = ()
    """The numbers of the earlier attempts that ended as `interrupted`."""
    meter: Meter = field(default_factory=Meter)
    """Counts what the run uses, from its earlier attempts on."""
    failures: int = 0
    """How many of the earlier attempts failed or took too long."""
    answers: dict[str, Any] | None = None
    """Answers to the questions that the graph asked, by their ids."""
    continues: tuple[str, ...] = ()
    """The earlier runs whose checkpoint this one continues, if it is still the last one of its thread."""

    def has_written(self, run_id: str | None) -> bool:
        """Tell whether a checkpoint that a run has written is one from which this run continues."""
        return run_id is not None and (run_id == self.run_id or run_id in self.continues)


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Due times of a task that went into the history without a start, and why."""

    task_id: str
    name: str
    scheduled_at: int
    status: RunStatus
    number: int
    reason: str
    seq: int
    """The number of its row among the runs of the task."""


@dataclass(slots=True)
class Batch:
    """What one pass does with runs that wait and tasks that are due."""

    claims: list[Claim] = field(default_factory=list)
    not_started: list[NotStarted] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    """Runs that waited and are cancelled by their task's next due time."""
    last_runs: list[tuple[str, str]] = field(default_factory=list)
    """Tasks that will be finished by the run that starts now, each with the reason."""
    unloadable: Changes = field(default_factory=Changes)
    """Tasks that are left to others, or whose code has to be loaded first."""
    leaves_tasks: bool = False
    """Whether there are any."""
    has_passed_over: bool = False
    """Whether something had to give way to what this pass has met; another pass may start what is behind it."""


@dataclass(frozen=True, slots=True)
class Claimer:
    """Who claims, and what is to be known for it."""

    owner: str
    history_limit: int
    is_checkpointed: Callable[[TaskDefinition], bool] = lambda _task: False
    """Tells whether the graph of a task has a checkpointer."""
    disowned: Collection[str] = ()
    """Runs that are left to others, if they wait."""
    held: Callable[[], frozenset[str]] = frozenset
    """Returns the threads that the program itself is using."""
    needs_loading: NeedsLoading = lambda _task: None
    """Tells which code of a task is not loaded yet."""
    grace: float | None = None
    """`misfire_grace_seconds` of tasks that set none."""
    timeout: float | None = None
    """`timeout_seconds` of tasks that set none."""


class Entry(NamedTuple):
    """A run that waits, or a task that is due, in the one queue of a pass."""

    since: int
    """Since when it is ready."""
    claim: Callable[[int], int]
    """Claims what can start; takes the number of free slots and returns how many it uses."""
