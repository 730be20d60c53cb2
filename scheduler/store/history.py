"""What is asked of the runs table as a history: rows of runs that were not started, trimming, reading."""

import itertools
import json
import os
import random
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, bindparam, delete, not_, select, update

from scheduler.errors import RunNotFoundError
from scheduler.models import (
    OPEN_STATUSES,
    Attempt,
    OverlapPolicy,
    Question,
    Run,
    RunStatus,
    RunTrigger,
    TaskDefinition,
    TokenUsage,
)
from scheduler.store.database.statements import Bulk, Connection, Query, Statement
from scheduler.store.own_values import read_metadata
from scheduler.store.rows import RunRow
from scheduler.store.schema import IS_SCHEDULED, is_open, responses, runs, tasks
from scheduler.thread_ids import ThreadId
from scheduler.timing.clock import SECOND, to_datetime
from scheduler.timing.planning import Firing
from scheduler.timing.schedule import Schedule, UnservedSchedule

_QUESTIONS: Final = TypeAdapter(tuple[Question, ...])
_ATTEMPTS: Final = TypeAdapter(tuple[Attempt, ...])
_INTEGER_DIGITS: Final = 1_000
_this = runs.alias("this_run")
_counter = itertools.count()
# Of its own, so that a program that seeds `random` does not make ids repeat; and seeded again in a forked child.
_random = random.Random()  # noqa: S311 (ids are no secrets)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_run_id(now: int) -> str:
    """Return a fresh id in the form of a UUID of version 7: ids of one process rise in the order of their making."""
    millis, micros = divmod(now, 1000)
    order = next(_counter) & 0x3FFF
    digits = f"{millis & (1 << 48) - 1:012x}7{micros << 2:03x}{0x8000 | order:04x}{_random.getrandbits(48):012x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def keep_own_thread(connection: Connection, task: TaskDefinition, run_id: str, thread_id: str, ended: int) -> None:
    """Note when the thread of a run that has ended is to be deleted, if it is its own and has a limit."""
    # The task may have been changed since the run was queued: a session that runs share is never deleted.
    if task.session_retention is not None and _is_of_one_run(connection, run_id, thread_id):
        keep_thread(connection, run_id, ended + round(task.session_retention * SECOND))


_CONTINUES: Final = Statement(lambda: select(runs.c.continues).where(runs.c.id == bindparam("run")))


def _is_of_one_run(connection: Connection, run_id: str, thread_id: str) -> bool:
    """Tell whether a thread is a run's own, or that of the run that it continues."""
    if ThreadId.parse(thread_id, run_id).run_id is not None:
        return True
    [continues] = connection.execute(_CONTINUES, {"run": run_id}).scalars() or [None]
    return any(ThreadId.parse(thread_id, each).run_id is not None for each in (continues or "").split())


_KEEP_THREAD: Final = Statement(
    lambda: update(runs).where(runs.c.id == bindparam("run")).values(thread_until=bindparam("until"))
)


def keep_thread(connection: Connection, run_id: str, until: int | None) -> None:
    """Note until when the thread of a run is kept; None: it is gone, or kept without a limit."""
    connection.execute(_KEEP_THREAD, {"run": run_id, "until": until})


def new_row(task: TaskDefinition, seq: int, scheduled_at: int, now: int, status: RunStatus) -> dict[str, Any]:
    """Return the columns of a scheduled run; a status that is not open ends it now."""
    run_id = new_run_id(now)
    return {
        "id": run_id,
        "task_id": task.id,
        "seq": seq,
        "scheduled_at": scheduled_at,
        "ready_at": scheduled_at,
        "started_at": None,
        "finished_at": None if status in OPEN_STATUSES else now,
        "status": status,
        "attempt": 0,
        "coalesced": 0,
        "trigger": RunTrigger.SCHEDULE,
        "exclusive": int(task.overlap is not OverlapPolicy.ALLOW_ALL),
        "cancel_requested": 0,
        "owner": None,
        "thread_id": str(ThreadId.of(task, run_id)),
        "checkpointed": 0,
        "resumed": 0,
        "error": None,
    }


_NEW: Final = (
    "id",
    "task_id",
    "seq",
    "scheduled_at",
    "ready_at",
    "started_at",
    "finished_at",
    "status",
    "attempt",
    "coalesced",
    "trigger",
    "exclusive",
    "cancel_requested",
    "owner",
    "thread_id",
    "checkpointed",
    "resumed",
    "error",
)
"""The columns of `new_row`; the others are empty at first."""
_INSERT: Final = Bulk(lambda given: given.insert(runs, _NEW))


def insert_rows(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert runs. Raises SQLAlchemy's `IntegrityError` where a due time has its row already."""
    connection.execute_many(_INSERT, rows)


_SPECIAL: Final = ("prompt", "metadata", "retry_of", "continues", "max_concurrent")
"""The columns that only runs have which no due time has called for."""
_INSERT_SPECIAL: Final = Bulk(lambda given: given.insert(runs, (*_NEW, *_SPECIAL)))


def insert_special(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert runs that may have values of their own."""
    connection.execute_many(_INSERT_SPECIAL, [{**dict.fromkeys(_SPECIAL), **row} for row in rows])


_SERVED: Final = Statement(
    lambda: (
        select(runs.c.scheduled_at)
        .where(runs.c.task_id == bindparam("task_id"), IS_SCHEDULED, runs.c.scheduled_at >= bindparam("since"))
        .order_by(runs.c.scheduled_at)
    )
)


def without_served(connection: Connection, task_id: str, schedule: Schedule, due: int) -> tuple[Schedule, int | None]:
    """Return a task's schedule without the due times that have a row already, and the first one from `due` on.

    There are such rows if the clock was set back, or if the task was removed and is added again.
    """
    served = tuple(connection.execute(_SERVED, {"task_id": task_id, "since": due}).scalars())
    if not served:
        return schedule, due
    unserved = UnservedSchedule(schedule, served)
    return unserved, unserved.next_after(due) if due in served else due


_GROW: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"))
        .values(scheduled_at=bindparam("last"), coalesced=bindparam("others"), finished_at=bindparam("now"))
    )
)
_NEWEST: Final = Query(
    RunRow, lambda: select(runs).where(runs.c.task_id == bindparam("task_id"), runs.c.seq == bindparam("seq"))
)


def insert_skipped(connection: Connection, task: TaskDefinition, last_seq: int, firing: Firing, now: int) -> int:
    """Account for due times that are not started: in the row before, if it says the same, else in one of their own.

    Returns the number of the task's newest run.
    """
    previous = connection.execute(_NEWEST, {"task_id": task.id, "seq": last_seq}).first()
    if previous and previous.status == RunStatus.SKIPPED and previous.error == firing.reason:
        coalesced = previous.coalesced + firing.coalesced + 1
        last = max(firing.scheduled_at, previous.scheduled_at)  # later, if the clock was set back since
        values = {"last": last, "others": coalesced, "now": now}
        connection.execute(_GROW, {"run": previous.id, **values})
        return last_seq
    seq = last_seq + 1
    skipped = new_row(task, seq, firing.scheduled_at, now, RunStatus.SKIPPED)
    insert_rows(connection, [{**skipped, "coalesced": firing.coalesced, "error": firing.reason}])
    note_newest(connection, task.id, seq)
    return seq


_NEWEST_IS: Final = Statement(
    lambda: update(tasks).where(tasks.c.id == bindparam("task")).values(last_seq=bindparam("newest"))
)


def note_newest(connection: Connection, task_id: str, seq: int) -> None:
    """Note the number of a task's newest run."""
    connection.execute(_NEWEST_IS, {"task": task_id, "newest": seq})


def _is_too_old() -> list[ColumnElement[bool]]:
    return [
        runs.c.task_id == bindparam("of_task"),
        runs.c.seq <= bindparam("until"),
        runs.c.scheduled_at <= bindparam("now"),
        runs.c.thread_until.is_(None),
        not_(is_open()),
    ]


_TRIM: Final = Statement(lambda: delete(runs).where(*_is_too_old()))


_TRIM_RESPONSES: Final = Statement(
    lambda: delete(responses).where(responses.c.run_id.in_(select(runs.c.id).where(*_is_too_old())))
)


def trim(connection: Connection, newest: Iterable[tuple[str, int]], limit: int, now: int) -> None:
    """Delete what exceeds `limit` runs of a task, oldest first, given the number of its newest.

    Open runs stay, and so do those whose thread is still to be deleted, and those for due times that come again
    because the clock was set back.
    """
    over = [{"of_task": task_id, "until": seq - limit, "now": now} for task_id, seq in newest if seq > limit]
    if over:
        connection.execute_many(_TRIM_RESPONSES, over)
        connection.execute_many(_TRIM, over)


_BY_ID: Final = Query(RunRow, lambda: select(runs).where(runs.c.id == bindparam("run_id")))


def read_run(connection: Connection, run_id: str) -> Run:
    """Return one run. Raises `RunNotFoundError`."""
    row = connection.execute(_BY_ID, {"run_id": run_id}).first()
    if row is None:
        raise RunNotFoundError(run_id)
    return to_run(row)


_STATUS: Final = Statement(lambda: select(runs.c.status).where(runs.c.id == bindparam("run_id")))


def status_of(connection: Connection, run_id: str) -> RunStatus | None:
    """Return the status of a run; None if it is not in the history any more."""
    found = connection.execute(_STATUS, {"run_id": run_id}).scalars()
    return RunStatus(found[0]) if found else None


_ENDED: Final = Statement(
    lambda: select(runs.c.id).where(runs.c.finished_at.is_not(None)).order_by(runs.c.finished_at, runs.c.id)
)


def ended(connection: Connection) -> list[str]:
    """Return the ids of the runs that are over, in the order in which they ended."""
    return list(connection.execute(_ENDED).scalars())


_BEFORE: Final = Query(
    RunRow,
    lambda: (
        select(runs)
        .where(
            runs.c.task_id == bindparam("task_id"),
            runs.c.attempt > 0,
            runs.c.seq < select(_this.c.seq).where(_this.c.id == bindparam("run_id")).scalar_subquery(),
        )
        .order_by(runs.c.seq.desc())
        .limit(1)
    ),
)
_LAST_SUCCESS: Final = Statement(
    lambda: (
        select(runs.c.finished_at)
        .where(runs.c.task_id == bindparam("task_id"), runs.c.status == RunStatus.SUCCEEDED)
        .order_by(runs.c.seq.desc())
        .limit(1)
    )
)


def before_run(connection: Connection, task_id: str, run_id: str) -> tuple[Run | None, int | None]:
    """Return the run of a task before a run, of those that have started, and when its newest success ended."""
    row = connection.execute(_BEFORE, {"task_id": task_id, "run_id": run_id}).first()
    successes = connection.execute(_LAST_SUCCESS, {"task_id": task_id}).scalars()
    return None if row is None else to_run(row), next(iter(successes), None)


def to_run(row: RunRow) -> Run:
    """Return a row of the table as the public model."""
    return Run(
        id=row.id,
        task_id=row.task_id,
        scheduled_at=to_datetime(row.scheduled_at),
        started_at=None if row.started_at is None else to_datetime(row.started_at),
        finished_at=None if row.finished_at is None else to_datetime(row.finished_at),
        status=RunStatus(row.status),
        attempt=row.attempt,
        coalesced=row.coalesced,
        trigger=RunTrigger(row.trigger),
        thread_id=row.thread_id,
        response=row.response,
        error=row.error,
        earlier_attempts=earlier_attempts(row),
        resumed=bool(row.resumed),
        questions=questions(row) if row.status == RunStatus.WAITING else (),
        current_step=row.current_step,
        usage=usage_of(row.usage),
        prompt=row.prompt,
        metadata=read_metadata(row.metadata),
        retry_of=row.retry_of,
        number=row.seq,
    )


class _HasAttempts(Protocol):
    @property
    def earlier_attempts(self) -> str | None: ...


def earlier_attempts(row: _HasAttempts) -> tuple[Attempt, ...]:
    """Return the attempts before the latest one."""
    stored = row.earlier_attempts
    try:
        return () if stored is None else _ATTEMPTS.validate_json(stored)
    except ValidationError:  # changed by hand; the run itself must be able to end
        return ()


class _HasQuestions(Protocol):
    @property
    def questions(self) -> str | None: ...


def questions(row: _HasQuestions) -> tuple[Question, ...]:
    """Return what a run asks; nothing if the stored text cannot be read, since a listing must not fail for one row."""
    try:
        return _QUESTIONS.validate_json(row.questions or "[]")
    except ValidationError:
        pass
    try:
        return _QUESTIONS.validate_python(json.loads(row.questions or "[]", parse_int=_int_or_text))
    except (TypeError, ValueError, RecursionError):
        return ()


def _int_or_text(digits: str) -> int | str:
    """Return an integer; one that is too long for Python's `int()`, as earlier releases stored them, stays text."""
    return int(digits) if len(digits) <= _INTEGER_DIGITS else digits


def usage_of(stored: str | None) -> TokenUsage | None:
    """Return what a run is known to have used."""
    try:
        return None if stored is None else TokenUsage.model_validate_json(stored)
    except ValidationError:
        return None


def questions_json(questions: tuple[Question, ...]) -> str:
    """Return questions as the table holds them."""
    return _json(_QUESTIONS.dump_python(questions))


def attempts_json(attempts: tuple[Attempt, ...]) -> str:
    """Return attempts as the table holds them."""
    return _json(_ATTEMPTS.dump_python(attempts, mode="json"))


def _json(value: object) -> str:
    """Return JSON; pydantic refuses lone surrogates, which are replaced where all texts are made storable."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


INSERT_IF_NEW: Final = Bulk(lambda given: given.insert(runs, _NEW).on_conflict_do_nothing())
"""Inserts a `new_row` whose due time has no row yet."""
