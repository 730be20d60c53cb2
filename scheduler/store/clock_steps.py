"""When the wall clock is set back: instants in the store that were computed from the wrong time are corrected.

The store knows the latest instant at which anything was written. A process that is earlier than that by `STEP_BACK`
or more knows that the clock was set back, also if it was set back while no program ran.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Column, ColumnElement, and_, bindparam, case, exists, func, or_, select, update

from scheduler.models import TaskDefinition
from scheduler.store import history, outcomes, owners
from scheduler.store import tasks as task_rows
from scheduler.store.database.statements import Bulk, Connection, Query, Statement
from scheduler.store.schema import HAS_THREAD_TO_DELETE, IS_PENDING, IS_SCHEDULED, IS_WAITING, clock, runs, tasks
from scheduler.store.unloadable import retry_soon
from scheduler.timing.clock import SECOND
from scheduler.timing.schedule import Schedule, UnservedSchedule, is_one_time, longest_gap, moved_anchor, schedule_of

STEP_BACK: Final = SECOND
"""A clock that is this far behind an earlier instant was set back; corrections by less are normal."""
_DAY: Final = 86_400 * SECOND
_NOTE_EVERY: Final = SECOND // 2
"""How often passes store the latest instant, at most."""
_COMPARISONS: Final = 3
"""How often in the length of a lease the clock is compared with those of other schedulers."""


class ClockWatch:
    """Notices that the clock was set back, and has the store corrected.

    The clock is *steady* until a pass begins before an earlier one, or until a start finds that the store was written
    later. It is *set back* until a transaction that has corrected the store is committed.
    """

    def __init__(self, lease: int) -> None:
        """Take the length of this scheduler's lease, in microseconds."""
        self._lease = lease
        self._latest = 0
        self._set_back_from: int | None = None
        self._note_at = 0
        self._compare_at = 0
        self._others_ahead_until = 0

    def begin(self, connection: Connection, now: int) -> None:
        """Correct the store if it was written at a later time than now."""
        self._latest, self._set_back_from, self._others_ahead_until = now, None, 0
        self._note_at = self._compare_at = now
        if now < (was := _latest(connection)) - STEP_BACK:
            correct(connection, now, was, self._lease)
        self._compare(connection, now)

    def look(self, now: int) -> int:
        """Return how far the clock has moved since the last pass; take note if it was set back."""
        moved = now - self._latest
        if moved < -STEP_BACK:
            self._set_back_from = max(self._latest, self._set_back_from or 0)
            self._latest = self._note_at = self._compare_at = now
        self._latest = max(now, self._latest)
        return moved

    def is_due(self, now: int) -> bool:
        """Tell whether a pass should write, so that `settle` is called."""
        return self._set_back_from is not None or now >= self._compare_at

    def settle(self, connection: Connection, now: int) -> None:
        """Correct the store if the clock was set back, in a transaction of a pass."""
        if self._set_back_from is not None:
            correct(connection, now, self._set_back_from, self._lease)
        if now >= self._compare_at:
            self._compare(connection, now)
        if now >= self._note_at:
            note(connection, now)
            self._note_at = now + _NOTE_EVERY

    def committed(self) -> None:
        """Take note that the transaction of `settle` is stored."""
        self._set_back_from = None

    def _compare(self, connection: Connection, now: int) -> None:
        """Correct what a scheduler whose clock was ahead of this one has left, once it is gone.

        While it is there, its clock may be the right one; two schedulers must not correct each other again and again.
        """
        if owners.shorten_leases(connection, now, self._lease):
            self._others_ahead_until = now + self._lease
        if now >= self._others_ahead_until and now < (was := _latest(connection)) - self._lease:
            correct(connection, now, was, self._lease)
        self._compare_at = now + self._lease // _COMPARISONS


_NOTE: Final = Statement(lambda: update(clock).where(clock.c.latest < bindparam("now")).values(latest=bindparam("now")))


def note(connection: Connection, now: int) -> None:
    """Note that something is written now."""
    connection.execute(_NOTE, {"now": now})


_LATEST: Final = Statement(lambda: select(clock.c.latest))


def _latest(connection: Connection) -> int:
    [row] = connection.execute(_LATEST)
    return int(row.latest)


_SET: Final = Statement(lambda: update(clock).values(latest=bindparam("now")))
_READY: Final = Statement(
    lambda: (
        update(runs)
        .where(IS_PENDING, runs.c.attempt == 0, runs.c.ready_at > bindparam("now"))
        .values(ready_at=bindparam("now"))
    )
)
_FINISHED: Final = Statement(
    lambda: update(tasks).where(tasks.c.finished_at > bindparam("now")).values(finished_at=bindparam("now"))
)


def correct(connection: Connection, now: int, was: int, lease: int) -> None:
    """Correct all instants that were computed when the clock showed up to `was`. Doing it twice changes nothing more.

    Due times are computed from now. For every other instant that somebody waits for there is one rule: it lies no
    further ahead than the whole wait is long.
    """
    _correct_due_times(connection, now, was)
    connection.execute(_READY, {"now": now})
    _shorten_retries(connection, now)
    for wait in _WAITS:
        wait.shorten(connection, now)
    connection.execute(_FINISHED, {"now": now})
    retry_soon(connection)
    owners.shorten_leases(connection, now, lease)
    connection.execute(_SET, {"now": now})


# --- Due times ---


class _TaskToCorrect(NamedTuple):
    id: str
    definition: str
    zone: str
    anchor: int
    next_due: int | None
    started_runs: int
    has_served: int
    """1 if due times that are to come have a row already."""


_SCHEDULES: Final = Query(
    _TaskToCorrect,
    lambda: select(
        *(tasks.c[name] for name in _TaskToCorrect._fields[:-1]),
        exists()
        .where(runs.c.task_id == tasks.c.id, IS_SCHEDULED, runs.c.scheduled_at > bindparam("now"))
        .label("has_served"),
    ).where(
        tasks.c.removed == 0,
        or_(
            tasks.c.next_due > bindparam("now"),
            and_(
                tasks.c.next_due.is_(None),
                # Now: with its last outcome, in the transaction that notices the step.
                or_(tasks.c.finished_at.is_(None), tasks.c.finished_at >= bindparam("now")),
            ),
        ),
    ),
)
_CORRECT: Final = Bulk(
    lambda given: (
        update(tasks)
        .where(tasks.c.id == given("task"))
        .values(
            anchor=given("new_anchor", BigInteger),
            next_due=given("due", BigInteger),
            finished_at=case((given("due", BigInteger).is_(None), tasks.c.finished_at)),
        )
    )
)


def _correct_due_times(connection: Connection, now: int, was: int) -> None:
    """Compute the next due times of recurring tasks from now.

    A task that has ended at a time that is still to come continues if it has due times left.
    """
    corrected: list[dict[str, Any]] = []
    for row in connection.execute(_SCHEDULES, {"now": now}):
        task = task_rows.read_definition(row)
        if task is None or is_one_time(task) or _is_used_up(row, task):
            continue
        anchor, due = _corrected(connection, row, task, now, was)
        if due != row.next_due:
            corrected.append({"task": row.id, "new_anchor": anchor, "due": due})
    if corrected:
        connection.execute_many(_CORRECT, corrected)
        task_rows.finish_if_over(connection, [each["task"] for each in corrected if each["due"] is None], now)


def _is_used_up(row: _TaskToCorrect, task: TaskDefinition) -> bool:
    return row.next_due is None and task.max_runs is not None and row.started_runs >= task.max_runs


_SERVED: Final = Statement(
    lambda: (
        select(runs.c.scheduled_at)
        .where(runs.c.task_id == bindparam("task"), IS_SCHEDULED, runs.c.scheduled_at > bindparam("now"))
        .order_by(runs.c.scheduled_at)
    )
)


def _corrected(
    connection: Connection, row: _TaskToCorrect, task: TaskDefinition, now: int, was: int
) -> tuple[int, int | None]:
    """Return the anchor and the next due time of a task.

    An interval that would be silent for longer than between two due times gets a new anchor: then it waits for as long
    as it would have waited, had the clock not been set back.
    """
    served: tuple[int, ...] = ()
    since = now
    if row.has_served:
        served = tuple(connection.execute(_SERVED, {"task": row.id, "now": now}).scalars())
        since = _trimmed_until(connection, row.id, now)
    schedule = schedule_of(task, row.zone, row.anchor)
    due = UnservedSchedule(schedule, served).next_after(since)
    longest = longest_gap(task)
    if longest is None or task.start_at is not None:
        return row.anchor, due
    plain, next_plain = schedule, due
    if task.calendar is not None:  # A calendar may move due times further; whether it is silent, the anchor says.
        plain = schedule_of(task.model_copy(update={"calendar": None}), row.zone, row.anchor)
        next_plain = UnservedSchedule(plain, served).next_after(since)
    if not _is_silent(plain, served, next_plain, now + longest):
        return row.anchor, due
    wait = None if row.next_due is None else row.next_due - was
    anchor = moved_anchor(task, row.anchor, now, wait, served)
    return anchor, schedule_of(task, row.zone, anchor).next_after(now)


def _is_silent(schedule: Schedule, served: Sequence[int], due: int | None, latest: int) -> bool:
    """Tell whether the next due time comes too late, or due times after it were served and will be left out."""
    if due is None or due > latest:
        return True
    return any(each > due and schedule.latest(each, each) == each for each in served)


_OLDEST: Final = Statement(
    lambda: select(
        select(func.min(runs.c.seq)).where(runs.c.task_id == bindparam("task")).scalar_subquery().label("seq"),
        select(func.min(runs.c.scheduled_at))
        .where(runs.c.task_id == bindparam("task"), IS_SCHEDULED)
        .scalar_subquery()
        .label("due"),
    )
)


def _trimmed_until(connection: Connection, task_id: str, now: int) -> int:
    """Return up to when due times count as served because their rows may have been trimmed from the history.

    For a day at most: a task must not be silent for years because the clock was years ahead for a while.
    """
    [oldest] = connection.execute(_OLDEST, {"task": task_id})
    is_trimmed = oldest.seq > 1
    return int(oldest.due) if is_trimmed and now < oldest.due <= now + _DAY else now


# --- Waits ---


class _Wait:
    """An instant that runs of a task wait for, and how long the whole wait is."""

    def __init__(
        self, until: Column[Any], condition: ColumnElement[bool], seconds: Callable[[TaskDefinition], float | None]
    ) -> None:
        """Take the column, which rows hold such an instant, and how long the wait is (None: there is no such wait)."""
        self._seconds = seconds
        waiting = select(runs.c.task_id).where(condition, until > bindparam("now"))
        self._tasks = Statement(
            lambda: select(tasks.c.id, tasks.c.definition, tasks.c.zone).where(tasks.c.id.in_(waiting))
        )
        self._shorten = Statement(
            lambda: (
                update(runs)
                .where(runs.c.task_id == bindparam("task"), condition, until > bindparam("latest"))
                .values({until: bindparam("latest")})
            )
        )

    def shorten(self, connection: Connection, now: int) -> None:
        """Let no run wait for longer than the whole wait."""
        for row in connection.execute(self._tasks, {"now": now}).all():
            task = task_rows.read_definition(row)
            seconds = None if task is None else self._seconds(task)
            if seconds is not None:
                latest = now + round(seconds * SECOND)
                connection.execute(self._shorten, {"task": row.id, "latest": latest})


_WAITS: Final = (
    _Wait(runs.c.expires_at, IS_WAITING, lambda task: task.expire_waiting_after_seconds),
    _Wait(runs.c.warn_at, IS_WAITING, lambda task: task.expire_waiting_after_seconds),
    _Wait(runs.c.thread_until, HAS_THREAD_TO_DELETE, lambda task: task.session_retention),
)


class _Retry(NamedTuple):
    id: str
    ready_at: int
    earlier_attempts: str | None
    definition: str
    zone: str


_RETRIES: Final = Query(
    _Retry,
    lambda: (
        select(runs.c.id, runs.c.ready_at, runs.c.earlier_attempts, tasks.c.definition, tasks.c.zone)
        .join(tasks, tasks.c.id == runs.c.task_id)
        .where(IS_PENDING, runs.c.ready_at > bindparam("now"))
    ),
)
_READY_AT: Final = Statement(
    lambda: update(runs).where(runs.c.id == bindparam("run")).values(ready_at=bindparam("latest"))
)


def _shorten_retries(connection: Connection, now: int) -> None:
    """Let no run wait for its next attempt for longer than the wait that its task sets."""
    for row in connection.execute(_RETRIES, {"now": now}).all():
        task = task_rows.read_definition(row)
        longest = 0 if task is None else outcomes.longest_wait(task, history.earlier_attempts(row))
        if row.ready_at > now + longest:
            connection.execute(_READY_AT, {"run": row.id, "latest": now + longest})
