"""What a transaction has made of runs, read back inside it, to be reported once it is committed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import and_, bindparam, select

from scheduler import logbook
from scheduler.models import Run, RunStatus
from scheduler.store import history
from scheduler.store.claims import Batch
from scheduler.store.database.statements import Connection, Query
from scheduler.store.expiring import Expiring
from scheduler.store.outcomes import Outcome
from scheduler.store.rows import RunRow
from scheduler.store.schema import runs, tasks
from scheduler.store.tasks import read_definition
from scheduler.timing.schedule import is_one_time

T = TypeVar("T")

_CHUNK: Final = 400


@dataclass(slots=True)
class Committed:
    """Runs, each as it was left."""

    changed: list[Run] = field(default_factory=list)
    """Runs that are over, wait for a human, or wait for a further attempt; due times that were not started."""
    claimed: list[Run] = field(default_factory=list)
    """Runs that begin an attempt."""
    released: list[str] = field(default_factory=list)
    """Runs that were claimed before and have not been launched."""
    expiring: list[Run] = field(default_factory=list)
    """Runs that will be cancelled soon, because nobody has answered."""
    finished: list[tuple[str, str]] = field(default_factory=list)
    """Tasks that have no due time left, each with the reason."""

    newest: dict[str, Run] = field(default_factory=dict)
    """The newest runs of tasks that something has become of."""


def note_ended(
    connection: Connection, committed: Committed, outcomes: Sequence[Outcome], lost: Sequence[Outcome]
) -> None:
    """Note what has become of attempts that ended; those that were not written are another process's."""
    others = {outcome.claim.run_id for outcome in lost}
    committed.released += [outcome.claim.run_id for outcome in outcomes if outcome.status is RunStatus.PENDING]
    for run in _read(connection, [each.claim.run_id for each in outcomes if each.claim.run_id not in others]):
        # One that was released waits as it did before, unless its task was removed meanwhile.
        if run.status is not RunStatus.PENDING or run.id not in committed.released:
            committed.changed.append(run)


def note_changed(connection: Connection, committed: Committed, run_ids: Sequence[str]) -> None:
    """Note what has become of runs that this process did not make, or that waited."""
    committed.changed += _read(connection, run_ids)


def note_expiring(connection: Connection, committed: Committed, expiring: Expiring) -> None:
    """Note which runs will be cancelled soon."""
    committed.expiring += _read(connection, [run_id for run_id, _, _ in expiring.runs])


class _FinishedRow(NamedTuple):
    id: str
    definition: str
    zone: str
    started_runs: int


_FINISHED_NOW: Final = Query(
    _FinishedRow,
    lambda: (
        select(tasks.c.id, tasks.c.definition, tasks.c.zone, tasks.c.started_runs)
        .where(
            tasks.c.id.in_(bindparam("ids", expanding=True)),
            tasks.c.finished_at == bindparam("now"),
            tasks.c.removed == 0,
        )
        .order_by(tasks.c.id)
    ),
)


def note_finished(connection: Connection, committed: Committed, now: int) -> None:
    """Note which tasks this transaction has finished: only one of whose runs something has become can be over."""
    ids = list(dict.fromkeys(run.task_id for run in committed.changed))
    for chunk in _chunks(ids):
        for row in connection.execute(_FINISHED_NOW, {"ids": chunk, "now": now}):
            committed.finished.append((row.id, _why_finished(row)))


_NEWEST: Final = Query(
    RunRow,
    lambda: (
        select(runs)
        .join(tasks, and_(tasks.c.id == runs.c.task_id, tasks.c.last_seq == runs.c.seq))
        .where(runs.c.task_id.in_(bindparam("ids", expanding=True)))
    ),
)


def note_newest(connection: Connection, committed: Committed, task_ids: Iterable[str]) -> None:
    """Note the newest runs of tasks: those that this transaction has changed, else those of the history."""
    ids = [*task_ids, *(task_id for task_id, _ in committed.finished)]
    for chunk in _chunks(list(dict.fromkeys(ids))):
        rows = connection.execute(_NEWEST, {"ids": chunk}).all()
        committed.newest.update((run.task_id, run) for run in _readable(rows))
    committed.newest.update((run.task_id, run) for run in committed.changed if run.task_id in ids)


def _why_finished(row: _FinishedRow) -> str:
    task = read_definition(row)
    if task is None:
        return "no due time is left"
    if is_one_time(task):
        return "its instant is over"
    if task.max_runs is not None and row.started_runs >= task.max_runs:
        return f"max_runs={task.max_runs} is reached"
    return "no due time is left" if task.end_at is None else f"end_at={task.end_at.isoformat()} is reached"


_BY_SEQ: Final = Query(
    RunRow, lambda: select(runs).where(runs.c.task_id == bindparam("task"), runs.c.seq == bindparam("number"))
)


def note_batch(connection: Connection, committed: Committed, batch: Batch) -> None:
    """Note what a pass has claimed, cancelled, and not started."""
    note_changed(connection, committed, batch.cancelled)
    for each in batch.not_started:
        row = connection.execute(_BY_SEQ, {"task": each.task_id, "number": each.seq}).first()
        # Rows that were changed by hand may have this number.
        if row is not None and row.scheduled_at == each.scheduled_at:
            committed.changed += _readable([row])
    committed.claimed += _read(connection, [claim.run_id for claim in batch.claims])


_BY_IDS: Final = Query(RunRow, lambda: select(runs).where(runs.c.id.in_(bindparam("ids", expanding=True))))


def _read(connection: Connection, run_ids: Sequence[str]) -> list[Run]:
    found: dict[str, RunRow] = {}
    for chunk in _chunks(list(dict.fromkeys(run_ids))):
        found.update((row.id, row) for row in connection.execute(_BY_IDS, {"ids": chunk}))
    return _readable(found[run_id] for run_id in dict.fromkeys(run_ids) if run_id in found)


def _readable(rows: Iterable[RunRow]) -> list[Run]:
    """Return rows as runs, but for those that cannot be read: what was done to them must be committed all the same."""
    readable = []
    for row in rows:
        try:
            readable.append(history.to_run(row))
        except Exception as error:  # noqa: BLE001 (whatever is wrong with the row)
            logbook.run_unreadable(row.id, error)
    return readable


def _chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
