"""Tasks that one scheduler cannot load at present: it leaves them to the others, and tries again later.

A scheduler has a row here for each such task: it does not claim the task's due times and runs, and everybody can see
why. The row goes when the task can be loaded, when it is added again or removed, and with the scheduler's lease.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from scheduler.models import TaskDefinition
from scheduler.store.database.statements import Bulk, Connection, Query, Statement, Values, parameter
from scheduler.store.database.storable import storable
from scheduler.store.reading import Unreadable, read
from scheduler.store.schema import owners, tasks, unloadable
from scheduler.timing.clock import SECOND

NeedsLoading = Callable[[TaskDefinition], str | None]
"""Returns what of a task's code has to be loaded before it can run here, as a key that equal code shares; else None."""

_FIRST_RETRY, _LONGEST_RETRY = 2 * SECOND, 300 * SECOND
"""How long until the next try: doubling from the one to the other."""
_LOADING: Final = 60 * SECOND
"""A loading that nobody has reported on for this long is asked for again: the pass that began it may have failed."""
_SLOW: Final = f"the import of its code has taken longer than {_LOADING // SECOND} s"
_MOST_RETRIES: Final = 100
"""So many tasks are tried again in one pass."""


@dataclass(frozen=True, slots=True)
class ToLoad:
    """Code that is to be loaded, and a task that names it."""

    code: str
    task: TaskDefinition


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading some code."""

    code: str
    problem: str | None
    """Why it cannot be loaded; None: it is loaded."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a task from being loaded."""

    code: str | None
    """The code that has to be loaded; None: the stored definition cannot be used here."""
    problem: str | None = None
    """Why that is not possible; None: it is not known yet."""


@dataclass(slots=True)
class Changes:
    """What a pass has found out about tasks that cannot be loaded."""

    to_load: list[ToLoad] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Tasks that are left to others from now on, or for another reason than before, each with the reason."""
    solved: list[str] = field(default_factory=list)
    """Tasks that can be loaded now, and could not before."""
    has_failed: bool = False
    """Whether some code could not be loaded."""

    def __iadd__(self, other: "Changes") -> Self:
        """Add what another step of the same pass has found out."""
        self.to_load += other.to_load
        self.problems += other.problems
        self.solved += other.solved
        self.has_failed = self.has_failed or other.has_failed
        return self


@dataclass(frozen=True, slots=True)
class LeftBy:
    """Which share of the schedulers that run cannot load a task, and why one of them cannot."""

    problem: str
    number: int
    schedulers: int


# --- Conditions ---

_IS_KNOWN: Final = unloadable.c.problem.is_not(None)  # what is being loaded is not loaded twice
_MINE: Final = unloadable.c.owner == bindparam("me")


def is_left(task_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that this scheduler, `:me`, leaves a task to others."""
    return exists().where(unloadable.c.task_id == task_id, unloadable.c.owner == bindparam("me"))


def is_to_be_retried() -> ColumnElement[bool]:
    """Return the condition that `:me` is to try again at `:now`; see `latest_retry` for `:no_later_than`."""
    is_due = or_(unloadable.c.retry_at <= bindparam("now"), unloadable.c.retry_at > bindparam("no_later_than"))
    return and_(unloadable.c.owner == bindparam("me"), is_due)


def latest_retry(now: int) -> int:
    """Return the latest instant at which something is tried again: a later one is by a clock that was ahead."""
    return now + _LONGEST_RETRY


def is_left_by_all(task_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that no scheduler whose lease holds at `:now` can load a task, as far as is known."""
    some, own = unloadable.alias(), unloadable.alias()
    may_load = exists().where(
        owners.c.lease_until >= bindparam("now"),
        not_(exists().where(own.c.task_id == task_id, own.c.owner == owners.c.id, own.c.problem.is_not(None))),
    )
    return and_(exists().where(some.c.task_id == task_id, some.c.problem.is_not(None)), not_(may_load))


# --- What a pass does ---


class _KnownCode(NamedTuple):
    code: str
    problem: str | None
    tries: int
    retry_at: int


_KNOWN: Final = Query(
    _KnownCode,
    lambda: (
        select(
            unloadable.c.code,
            func.min(unloadable.c.problem).label("problem"),
            func.max(unloadable.c.tries).label("tries"),
            func.max(unloadable.c.retry_at).label("retry_at"),
        )
        .where(_MINE, unloadable.c.code.in_(bindparam("codes", expanding=True)))
        .group_by(unloadable.c.code)
    ),
)
_INSERT: Final = Bulk(lambda given: given.insert(unloadable, unloadable.c.keys()).on_conflict_do_nothing())


def leave(
    connection: Connection,
    owner: str,
    found: Mapping[str, Obstacle],
    definitions: Mapping[str, TaskDefinition],
    now: int,
) -> Changes:
    """Leave tasks to others; return which code is to be loaded, unless that has been tried a moment ago.

    `definitions` has a task for each code.
    """
    codes = sorted({obstacle.code for obstacle in found.values() if obstacle.code is not None})
    known = {row.code: row for row in connection.execute(_KNOWN, {"me": owner, "codes": codes})}
    rows = [
        _left_row(task_id, owner, each, None if each.code is None else known.get(each.code), now)
        for task_id, each in found.items()
    ]
    connection.execute_many(_INSERT, rows)
    return Changes(
        to_load=[ToLoad(code, definitions[code]) for code in codes if code not in known],
        problems=[(row["task_id"], row["problem"]) for row in rows if row["problem"] is not None],
    )


def _left_row(task_id: str, owner: str, obstacle: Obstacle, known: _KnownCode | None, now: int) -> dict[str, Any]:
    """Return the row of a task; one whose code other tasks have named already is tried again together with them."""
    values = {"task_id": task_id, "owner": owner, "code": obstacle.code, "problem": obstacle.problem}
    if known is not None:
        return {**values, "problem": known.problem, "tries": known.tries, "retry_at": known.retry_at}
    if obstacle.problem is None:
        return {**values, "tries": 0, "retry_at": now + _LOADING}
    return {**values, "tries": 1, "retry_at": now + _FIRST_RETRY}


class _TaskOfCode(NamedTuple):
    task_id: str
    problem: str | None
    tries: int


_OF_CODE: Final = Query(
    _TaskOfCode,
    lambda: select(unloadable.c.task_id, unloadable.c.problem, unloadable.c.tries).where(
        _MINE, unloadable.c.code == bindparam("of_code")
    ),
)
_DELETE_CODE: Final = Statement(lambda: delete(unloadable).where(_MINE, unloadable.c.code == bindparam("of_code")))
_FAILED: Final = Statement(
    lambda: (
        update(unloadable)
        .where(_MINE, unloadable.c.code == bindparam("of_code"))
        .values(problem=bindparam("why"), tries=bindparam("number"), retry_at=bindparam("again"))
    )
)


def note_loaded(connection: Connection, owner: str, loaded: Sequence[Loaded], now: int) -> Changes:
    """Note what came of loading: tasks whose code is there are not left any more, the others are tried again later."""
    changes = Changes()
    for each in loaded:
        rows = connection.execute(_OF_CODE, {"me": owner, "of_code": each.code}).all()
        if each.problem is None:
            changes.solved += [row.task_id for row in rows if row.problem is not None]
            connection.execute(_DELETE_CODE, {"me": owner, "of_code": each.code})
            continue
        changes.has_failed = True
        problem = storable(each.problem)  # as it is in the rows
        tries = 1 + max((row.tries for row in rows), default=0)
        changes.problems += [(row.task_id, problem) for row in rows if row.problem != problem]
        values = {"me": owner, "of_code": each.code, "why": problem, "number": tries}
        connection.execute(_FAILED, {**values, "again": now + _delay(tries)})
    return changes


class _TaskToRetry(NamedTuple):
    task_id: str
    code: str | None
    problem: str | None
    tries: int
    definition: str
    zone: str


_TO_RETRY: Final = Query(
    _TaskToRetry,
    lambda: (
        select(
            *(unloadable.c[name] for name in ("task_id", "code", "problem", "tries")), tasks.c.definition, tasks.c.zone
        )
        .join(tasks, tasks.c.id == unloadable.c.task_id)
        .where(is_to_be_retried())
        .order_by(unloadable.c.retry_at)
        .limit(bindparam("most"))
    ),
)


def retry(connection: Connection, owner: str, needs_loading: NeedsLoading, now: int) -> Changes:
    """Look again at tasks whose time for it has come: at their definition here, at their code beside the passes."""
    changes = Changes()
    definitions: dict[str, TaskDefinition] = {}
    updates, usable = [], []
    values = {"me": owner, "now": now, "no_later_than": latest_retry(now), "most": _MOST_RETRIES}
    for row in connection.execute(_TO_RETRY, values).all():
        found = read(row.definition, row.zone)
        code = None if isinstance(found, Unreadable) else needs_loading(found)
        if isinstance(found, TaskDefinition) and code is not None:
            definitions[code] = found
            changes.problems += [(row.task_id, _SLOW)] if row.problem is None else []
            if row.code != code:  # else all that need this code are updated together
                updates.append(_update(row, owner, code=code, again=now + _LOADING))
        elif isinstance(found, Unreadable) and not found.is_damaged:
            tries = row.tries + 1
            updates.append(_update(row, owner, why=found.problem, number=tries, again=now + _delay(tries)))
            changes.problems += [(row.task_id, found.problem)] if row.problem != found.problem else []
        else:  # it is loaded, or its row is damaged, which the next claim finds
            usable.append({"task": row.task_id, "by": owner})
            changes.solved += [row.task_id] if row.problem is not None else []
    _write_retries(connection, owner, sorted(definitions), updates, usable, now + _LOADING)
    changes.to_load = [ToLoad(code, task) for code, task in definitions.items()]
    return changes


def _update(row: _TaskToRetry, owner: str, *, code: str | None = None, **changed: object) -> dict[str, object]:
    return {"task": row.task_id, "by": owner, "of_code": code, "why": row.problem, "number": row.tries, **changed}


_LOADING_AGAIN: Final = Statement(
    lambda: (
        update(unloadable)
        .where(_MINE, unloadable.c.code == bindparam("of_code"))
        .values(retry_at=bindparam("again"), problem=func.coalesce(unloadable.c.problem, parameter("why")))
    )
)
_UPDATE: Final = Bulk(
    lambda given: (
        update(unloadable)
        .where(unloadable.c.task_id == given("task"), unloadable.c.owner == given("by"))
        .values(
            code=given("of_code", Text),
            problem=given("why", Text),
            tries=given("number", Integer),
            retry_at=given("again", BigInteger),
        )
    )
)
_DELETE_ONE: Final = Statement(
    lambda: delete(unloadable).where(unloadable.c.task_id == bindparam("task"), unloadable.c.owner == bindparam("by"))
)


def _write_retries(  # noqa: PLR0913, PLR0917 (one thing to write each)
    connection: Connection,
    owner: str,
    loading: Sequence[str],
    updates: Sequence[Values],
    usable: Sequence[Values],
    again: int,
) -> None:
    for code in loading:
        connection.execute(_LOADING_AGAIN, {"me": owner, "of_code": code, "again": again, "why": _SLOW})
    if updates:
        connection.execute_many(_UPDATE, updates)
    if usable:
        connection.execute_many(_DELETE_ONE, usable)


def _delay(tries: int) -> int:
    """Return how long the next try waits after so many that failed, in microseconds."""
    return min(_FIRST_RETRY << min(tries - 1, 30), _LONGEST_RETRY)


# --- What calls do ---


_RETRY_ALL: Final = Statement(lambda: update(unloadable).where(_IS_KNOWN).values(retry_at=0, tries=0))
_RETRY_ONE: Final = Statement(
    lambda: update(unloadable).where(unloadable.c.task_id == bindparam("task"), _IS_KNOWN).values(retry_at=0, tries=0)
)


def retry_soon(connection: Connection, task_id: str | None = None) -> None:
    """Let every scheduler look again, at its next pass, at one task or at all."""
    if task_id is None:
        connection.execute(_RETRY_ALL)
    else:
        connection.execute(_RETRY_ONE, {"task": task_id})


_DELETE_TASK: Final = Statement(lambda: delete(unloadable).where(unloadable.c.task_id == bindparam("task")))
_ANY: Final = Statement(lambda: select(unloadable.c.task_id).limit(1))


def forget(connection: Connection, task_ids: Sequence[str]) -> None:
    """Forget what is known of tasks: they were changed or removed."""
    if task_ids and connection.execute(_ANY).first():
        connection.execute_many(_DELETE_TASK, [{"task": task_id} for task_id in task_ids])


class _Problem(NamedTuple):
    task_id: str
    problem: str


_PROBLEMS: Final = Query(
    _Problem,
    lambda: (
        select(unloadable.c.task_id, unloadable.c.problem)
        .join(owners, owners.c.id == unloadable.c.owner)
        .where(unloadable.c.problem.is_not(None), owners.c.lease_until >= bindparam("now"))
        .order_by(unloadable.c.task_id, unloadable.c.owner)
    ),
)
_ALIVE: Final = Statement(
    lambda: select(func.count()).select_from(owners).where(owners.c.lease_until >= bindparam("now"))
)


def left_by(connection: Connection, now: int) -> dict[str, LeftBy]:
    """Return the tasks that schedulers cannot load whose leases hold."""
    rows = connection.execute(_PROBLEMS, {"now": now}).all()
    schedulers = int(connection.execute(_ALIVE, {"now": now}).scalars()[0]) if rows else 0
    found: dict[str, LeftBy] = {}
    for row in rows:
        number = found[row.task_id].number + 1 if row.task_id in found else 1
        found[row.task_id] = LeftBy(row.problem, number, schedulers)
    return found
