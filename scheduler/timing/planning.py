"""What becomes of due times that have come: started, buffered, skipped or missed; and how long a retry waits.

Pure rules over one task; the store reads the situation, asks here, and writes the answer. The overlap policies are
those of Temporal's schedules; misfire grace and coalescing mean what they mean to APScheduler.
"""

import random
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from scheduler.models import OverlapPolicy, TaskDefinition
from scheduler.timing.clock import SECOND
from scheduler.timing.schedule import Schedule

BUFFER_LIMIT: Final = 1_000
"""How many due times of one task wait for their turn under `BUFFER_ALL`."""

SKIPPED_OVERLAP: Final = "the previous run was still going (overlap=skip)"
SKIPPED_BUFFER_ONE: Final = "one due time was waiting already (overlap=buffer_one)"
SKIPPED_BUFFER_FULL: Final = f"{BUFFER_LIMIT} due times were waiting already (overlap=buffer_all)"
SKIPPED_THREAD_FULL: Final = f"{BUFFER_LIMIT} due times were waiting already (overlap=allow_all)"
SKIPPED_SUPERSEDED: Final = "a later due time took its place (overlap=cancel_other)"
_JITTER: Final = 0.25


class Decision(Enum):
    """What becomes of a due time."""

    START = auto()
    BUFFER = auto()
    SKIP = auto()
    MISS = auto()


@dataclass(slots=True)
class Firing:
    """A due time, what becomes of it, how many earlier ones it stands for beside itself, and why it was not started."""

    decision: Decision
    scheduled_at: int
    coalesced: int = 0
    reason: str | None = None


@dataclass(slots=True)
class Situation:
    """What the store knows of a task whose next due time has come; it changes as due times are decided."""

    next_due: int
    now: int
    started: int
    """Scheduled runs that were started or buffered so far (for `max_runs`)."""
    busy: bool
    """Whether a run of the task is running, or between two attempts."""
    buffered: int
    """Scheduled runs that wait for their turn."""
    slots: int
    """Runs that may be started now."""


@dataclass(slots=True)
class Plan:
    """What to write for one task: rows of history in order, and the next due time (None: there is none any more)."""

    next_due: int | None
    firings: list[Firing] = field(default_factory=list)
    cancel_running: bool = False


def plan(task: TaskDefinition, schedule: Schedule, situation: Situation) -> Plan:
    """Decide over the due times of a task from `next_due` to `now`.

    Due times that have to wait for a free slot stay due: `next_due` of the plan is then the first of them.
    """
    following = schedule.next_after(situation.next_due)
    single = following is None or following > situation.now
    if single or not task.coalesce:
        return _plan_each(task, schedule, situation)
    return _plan_together(task, schedule, situation)


def _plan_together(task: TaskDefinition, schedule: Schedule, situation: Situation) -> Plan:
    """One run, or one row, for all that has passed."""
    latest, others = _group(schedule, situation.next_due, situation.now)
    decided = _decide(task, situation, latest, others)
    if decided is None:
        return Plan(situation.next_due)
    result = Plan(None)
    _add(result, task, situation, decided)
    result.next_due = _next_due(task, schedule, situation, latest)
    return result


def _plan_each(task: TaskDefinition, schedule: Schedule, situation: Situation) -> Plan:
    """Judge each due time by itself, oldest first; what is not started is grouped."""
    result = Plan(None)
    due: int | None = situation.next_due
    while due is not None and due <= situation.now:
        last, others = due, 0
        if _is_late(task, due, situation.now):
            last, others = _group(schedule, due, situation.now - _grace(task) - 1)
        elif task.overlap is OverlapPolicy.CANCEL_OTHER:
            due = last = _supersede(result, schedule, due, situation.now)
        decided = _decide(task, situation, last, others)
        if decided is None:
            break
        if decided.decision is Decision.SKIP:
            last, others = _group(schedule, due, situation.now)
            decided = Firing(Decision.SKIP, last, others, decided.reason)
        _add(result, task, situation, decided)
        due = _next_due(task, schedule, situation, last)
    result.next_due = due
    return result


def _supersede(result: Plan, schedule: Schedule, due: int, now: int) -> int:
    """Skip all but the latest due time, and return it: each would be cancelled by the next one at once."""
    last, others = _group(schedule, due, now)
    if others:
        before = schedule.latest(due, last - 1)
        result.firings.append(Firing(Decision.SKIP, before or due, others - 1, SKIPPED_SUPERSEDED))
    return last


def _decide(task: TaskDefinition, situation: Situation, due: int, others: int) -> Firing | None:
    """Return what becomes of a due time that stands for `others` too; None: it waits for a free slot."""
    if _is_late(task, due, situation.now):
        reason = f"later than misfire_grace_seconds={task.misfire_grace_seconds:g}"
        return Firing(Decision.MISS, due, others, reason)
    waiting = situation.busy or situation.buffered > 0
    if waiting and task.overlap is not OverlapPolicy.ALLOW_ALL:
        return _overlapping(task.overlap, situation, due, others)
    if situation.buffered >= BUFFER_LIMIT:
        # They wait for the thread that they share.
        return Firing(Decision.SKIP, due, others, SKIPPED_THREAD_FULL)
    return Firing(Decision.START, due, others) if situation.slots > 0 else None


def _overlapping(policy: OverlapPolicy, situation: Situation, due: int, others: int) -> Firing:
    if policy is OverlapPolicy.CANCEL_OTHER:
        return Firing(Decision.BUFFER, due, others)
    if policy is OverlapPolicy.BUFFER_ONE:
        if situation.buffered == 0:
            return Firing(Decision.BUFFER, due, others)
        return Firing(Decision.SKIP, due, others, SKIPPED_BUFFER_ONE)
    if policy is OverlapPolicy.BUFFER_ALL:
        if situation.buffered < BUFFER_LIMIT:
            return Firing(Decision.BUFFER, due, others)
        return Firing(Decision.SKIP, due, others, SKIPPED_BUFFER_FULL)
    return Firing(Decision.SKIP, due, others, SKIPPED_OVERLAP)


def _add(result: Plan, task: TaskDefinition, situation: Situation, firing: Firing) -> None:
    result.firings.append(firing)
    if firing.decision is Decision.START:
        situation.started += 1
        situation.slots -= 1
        situation.busy = True
    elif firing.decision is Decision.BUFFER:
        situation.started += 1
        situation.buffered += 1
        result.cancel_running = task.overlap is OverlapPolicy.CANCEL_OTHER


def _next_due(task: TaskDefinition, schedule: Schedule, situation: Situation, last: int) -> int | None:
    if task.max_runs is not None and situation.started >= task.max_runs:
        return None
    return schedule.next_after(last)


def _group(schedule: Schedule, first: int, until: int) -> tuple[int, int]:
    """Return the latest due time from `first` to `until`, and how many there are from `first` up to it, less one."""
    latest = schedule.latest(first, until)
    if latest is None or latest <= first:
        return first, 0
    return latest, schedule.count(first, latest)


def _is_late(task: TaskDefinition, due: int, now: int) -> bool:
    return task.misfire_grace_seconds is not None and now - due > _grace(task)


def _grace(task: TaskDefinition) -> int:
    return round((task.misfire_grace_seconds or 0) * SECOND)


def retry_delay(task: TaskDefinition, attempt: int) -> int:
    """Return how long to wait after a failed attempt (1 is the first), in microseconds.

    `retry_delay_seconds` doubles with each attempt up to `retry_max_delay_seconds`, and is then varied by a quarter
    either way, so that tasks that failed together do not come back together.
    """
    return _varied(task, attempt, random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 (no secret)


def longest_retry_delay(task: TaskDefinition, attempt: int) -> int:
    """Return the longest that `retry_delay` may be."""
    return _varied(task, attempt, 1 + _JITTER)


def _varied(task: TaskDefinition, attempt: int, factor: float) -> int:
    doublings = min(attempt - 1, 1_023)  # 2.0**1024 overflows
    delay = min(task.retry_delay_seconds * 2.0**doublings, task.retry_max_delay_seconds)
    return round(min(delay * factor, task.retry_max_delay_seconds) * SECOND)
