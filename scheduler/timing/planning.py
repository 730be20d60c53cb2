"""What becomes of due times that have come: started, buffered, skipped or missed; and how long a retry waits.

Pure functions over one task: the store reads the situation, asks here, and writes the answer. The overlap policies are
those of Temporal's schedules; misfire grace and coalescing mean what they mean to APScheduler.
"""

import math
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final, assert_never

from scheduler.models import OverlapPolicy, TaskDefinition, calendar_of
from scheduler.timing.calendar_schedules import Closing, OpenSchedule, moves
from scheduler.timing.clock import SECOND
from scheduler.timing.schedule import Schedule, folded

BUFFER_LIMIT: Final = 1_000
"""How many due times of one task wait for their turn under `BUFFER_ALL`."""

SKIPPED_OVERLAP: Final = "the previous run was still running (overlap=skip)"
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


@dataclass(frozen=True, slots=True)
class Firing:
    """A due time, what becomes of it, how many earlier ones it stands for beside itself, and why it was not started."""

    decision: Decision
    scheduled_at: int
    coalesced: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What the store knows of a task whose next due time has come."""

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


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write for one task: rows of history in order, and the next due time (None: there is none any more)."""

    next_due: int | None
    firings: tuple[Firing, ...]
    started: int
    """`Situation.started`, with the runs that the plan starts or buffers."""
    cancel_running: bool


@dataclass(slots=True)
class _Draft:
    """A plan in the making: the situation changes with each decision."""

    started: int
    busy: bool
    buffered: int
    slots: int
    firings: list[Firing] = field(default_factory=list)
    cancel_running: bool = False

    def plan(self, next_due: int | None) -> Plan:
        return Plan(next_due, tuple(self.firings), self.started, self.cancel_running)


def plan(task: TaskDefinition, schedule: Schedule, situation: Situation, closing: Closing | None = None) -> Plan:
    """Decide over the due times of a task from `next_due` to `now`.

    Due times that have to wait for a free slot stay due: `next_due` of the plan is then the first of them. `closing` is
    when due times are skipped for the task's calendar.
    """
    if closing is not None:
        return _plan_open(task, schedule, situation, closing)
    planned = _plan(task, schedule, situation)
    if not moves(calendar_of(task)):
        return planned
    moved = (replace(each, coalesced=each.coalesced + folded(schedule, each.scheduled_at)) for each in planned.firings)
    return replace(planned, firings=tuple(moved))


def _plan_open(task: TaskDefinition, schedule: Schedule, situation: Situation, closing: Closing) -> Plan:
    """Decide over the due times that are open, and account for the closed ones before them."""
    due, now = situation.next_due, situation.now
    is_open = OpenSchedule(schedule, closing.times)
    first = due if closing.reason(due) is None else is_open.next_after(due)
    until = now
    if first is None or first > now:
        planned = Plan(schedule.next_after(now), (), situation.started, cancel_running=False)
    else:
        planned = _plan(task, is_open, replace(situation, next_due=first))
        if planned.next_due is not None and planned.next_due <= now:
            until = planned.next_due - 1  # it waits for a slot, and so does what comes after it
        elif task.max_runs is None or planned.started < task.max_runs:
            planned = replace(planned, next_due=schedule.next_after(now))
    last = is_open.latest_closed(due, until)
    if last is None:
        return planned
    others = schedule.count(due - 1, last) - is_open.count(due - 1, last) - 1
    skipped = Firing(Decision.SKIP, last, others, closing.reason(last))
    return replace(planned, firings=tuple(sorted((skipped, *planned.firings), key=lambda each: each.scheduled_at)))


def _plan(task: TaskDefinition, schedule: Schedule, situation: Situation) -> Plan:
    draft = _Draft(situation.started, situation.busy, situation.buffered, situation.slots)
    following = schedule.next_after(situation.next_due)
    single = following is None or following > situation.now
    if single or not task.coalesce:
        return draft.plan(_plan_each(task, schedule, situation, draft))
    return draft.plan(_plan_together(task, schedule, situation, draft))


def _plan_together(task: TaskDefinition, schedule: Schedule, situation: Situation, draft: _Draft) -> int | None:
    """One run, or one row, for all that has passed. Return the next due time."""
    latest, others = _group(schedule, situation.next_due, situation.now)
    decided = _decide(task, draft, situation.now, latest, others)
    if decided is None:
        return situation.next_due
    _add(draft, task, decided)
    return _next_due(task, schedule, draft, latest)


def _plan_each(task: TaskDefinition, schedule: Schedule, situation: Situation, draft: _Draft) -> int | None:
    """Judge each due time by itself, oldest first; what is not started is grouped. Return the next due time."""
    now = situation.now
    due: int | None = situation.next_due
    while due is not None and due <= now:
        last, others = due, 0
        if _is_late(task, due, now):
            last, others = _group(schedule, due, now - _grace(task) - 1)
        elif task.overlap is OverlapPolicy.CANCEL_OTHER:
            due = last = _supersede(draft, schedule, due, now)
        decided = _decide(task, draft, now, last, others)
        if decided is None:
            break
        if decided.decision is Decision.SKIP:
            last, others = _group(schedule, due, now)
            decided = Firing(Decision.SKIP, last, others, decided.reason)
        _add(draft, task, decided)
        due = _next_due(task, schedule, draft, last)
    return due


def _supersede(draft: _Draft, schedule: Schedule, due: int, now: int) -> int:
    """Skip all but the latest due time, and return it: each would be cancelled by the next one at once."""
    last, others = _group(schedule, due, now)
    if others:
        before = schedule.latest(due, last - 1)
        draft.firings.append(Firing(Decision.SKIP, before or due, others - 1, SKIPPED_SUPERSEDED))
    return last


def _decide(task: TaskDefinition, draft: _Draft, now: int, due: int, others: int) -> Firing | None:
    """Return what becomes of a due time that stands for `others` too; None: it waits for a free slot."""
    if _is_late(task, due, now):
        reason = f"later than misfire_grace_seconds={task.misfire_grace_seconds:g}"
        return Firing(Decision.MISS, due, others, reason)
    allows_all = task.overlap is OverlapPolicy.ALLOW_ALL
    has_to_wait = not allows_all and (draft.busy or draft.buffered > 0)
    room, reason = _waiting_room(task.overlap)
    if (has_to_wait or allows_all) and draft.buffered >= room:
        return Firing(Decision.SKIP, due, others, reason)
    if has_to_wait:
        return Firing(Decision.BUFFER, due, others)
    return Firing(Decision.START, due, others) if draft.slots > 0 else None


def _waiting_room(policy: OverlapPolicy) -> tuple[float, str]:
    """Return how many due times of a task may wait, and why a further one is skipped."""
    match policy:
        case OverlapPolicy.SKIP:
            return 0, SKIPPED_OVERLAP
        case OverlapPolicy.BUFFER_ONE:
            return 1, SKIPPED_BUFFER_ONE
        case OverlapPolicy.BUFFER_ALL:
            return BUFFER_LIMIT, SKIPPED_BUFFER_FULL
        case OverlapPolicy.CANCEL_OTHER:  # each takes the place of the one before
            return math.inf, SKIPPED_SUPERSEDED
        case OverlapPolicy.ALLOW_ALL:  # they wait for the thread that they share
            return BUFFER_LIMIT, SKIPPED_THREAD_FULL
        case _:
            assert_never(policy)


def _add(draft: _Draft, task: TaskDefinition, firing: Firing) -> None:
    draft.firings.append(firing)
    match firing.decision:
        case Decision.START:
            draft.started += 1
            draft.slots -= 1
            draft.busy = True
        case Decision.BUFFER:
            draft.started += 1
            draft.buffered += 1
            draft.cancel_running = task.overlap is OverlapPolicy.CANCEL_OTHER
        case Decision.SKIP | Decision.MISS:
            pass
        case _:
            assert_never(firing.decision)


def _next_due(task: TaskDefinition, schedule: Schedule, draft: _Draft, last: int) -> int | None:
    if task.max_runs is not None and draft.started >= task.max_runs:
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


def retry_delay(task: TaskDefinition, attempt: int, share: float) -> int:
    """Return how long to wait after a failed attempt (1 is the first), in microseconds.

    `retry_delay_seconds` doubles with each attempt up to `retry_max_delay_seconds`, and is then varied by a quarter
    either way, so that tasks that failed together do not come back together. `share`, a random number from 0 to 1,
    says where in that range.
    """
    return _varied(task, attempt, 1 - _JITTER + 2 * _JITTER * share)


def longest_retry_delay(task: TaskDefinition, attempt: int) -> int:
    """Return the longest that `retry_delay` may be."""
    return _varied(task, attempt, 1 + _JITTER)


def _varied(task: TaskDefinition, attempt: int, factor: float) -> int:
    doublings = min(attempt - 1, 1_023)  # 2.0**1024 overflows
    delay = min(task.retry_delay_seconds * 2.0**doublings, task.retry_max_delay_seconds)
    return round(min(delay * factor, task.retry_max_delay_seconds) * SECOND)
