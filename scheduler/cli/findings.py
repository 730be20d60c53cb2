"""What `check` finds: a name, whether it is fine, and what was seen; and what waits for longer than it should."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from scheduler import Run, RunStatus, TaskScheduler, TaskState, TaskView
from scheduler.cli.ui.moments import local

_LATE: Final = timedelta(minutes=1)
"""A due time that has passed for so long should have started, or be in the history."""
_LONG: Final = timedelta(hours=1)
"""A run that waits for so long is worth a look."""
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    ok: bool
    detail: str


def waiting_findings(scheduler: TaskScheduler, tasks: Sequence[TaskView], schedulers: int) -> Iterator[Finding]:
    """Yield what is overdue, what is pending and why, and what waits for an answer. Raises `StoreError`."""
    now = datetime.now(UTC)
    yield from _overdue([each for each in tasks if each.next_due is not None], schedulers, now)
    yield from _pending(scheduler.list_runs(status=RunStatus.PENDING, limit=_MOST), now)
    yield from _waiting(scheduler.list_runs(status=RunStatus.WAITING, limit=_MOST), now)


def _overdue(tasks: Sequence[TaskView], schedulers: int, now: datetime) -> Iterator[Finding]:
    late = [
        each for each in tasks if each.state is TaskState.SCHEDULED and each.next_due and each.next_due < now - _LATE
    ]
    if not late:
        return
    first = min(late, key=lambda each: each.next_due or now)
    why = "its schedulers do not come to it" if schedulers else "no scheduler is running on the store: start one"
    number = f"{len(late)} task{'' if len(late) == 1 else 's'}"
    yield Finding("due times", ok=False, detail=f"{number} overdue, {first.id} since {local(first.next_due)}; {why}")


def _pending(runs: Sequence[Run], now: datetime) -> Iterator[Finding]:
    """Say of the run that has been pending for the longest why; a retry that waits for its time is no failure."""
    if not runs:
        return
    oldest = min(runs, key=lambda run: run.scheduled_at)
    is_long = oldest.scheduled_at < now - _LONG
    number = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    why = oldest.pending_reason or "the reason is not known"
    detail = f"{number} pending; {oldest.task_id}, due {local(oldest.scheduled_at)}: {why}"
    yield Finding("pending runs", ok=not is_long, detail=detail)


def _waiting(runs: Sequence[Run], now: datetime) -> Iterator[Finding]:
    if not runs:
        return
    oldest = min(runs, key=lambda run: run.started_at or run.scheduled_at)
    since = oldest.started_at or oldest.scheduled_at
    number = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    detail = f"{number} waiting for an answer, {oldest.task_id} since {local(since)}; task-scheduler waiting shows them"
    yield Finding("questions", ok=since >= now - _LONG, detail=detail)
