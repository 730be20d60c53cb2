"""A run by what a person types: its id, the beginning of it, or its task and number, such as `digest#42`."""

import re
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import bindparam, select

from scheduler.errors import AmbiguousRunError, RunNotFoundError, TaskNotFoundError
from scheduler.models import Run
from scheduler.store import history, tasks
from scheduler.store.database.statements import Connection, Query
from scheduler.store.rows import RunRow
from scheduler.store.schema import runs

LAST: Final = "last"
"""In place of a number: the newest run of a task."""
_NUMBER: Final = re.compile(r"[1-9]\d{0,17}", re.ASCII)
_BEGINNING: Final = re.compile(r"[0-9a-f][0-9a-f-]{5,35}", re.ASCII)
_AFTER_DIGITS: Final = "g"
"""Comes after each digit of an id, in the order of every database."""
_MOST_SHOWN: Final = 5

_BY_NUMBER: Final = Query(
    RunRow, lambda: select(runs).where(runs.c.task_id == bindparam("task"), runs.c.seq == bindparam("number"))
)
_LAST: Final = Query(
    RunRow, lambda: select(runs).where(runs.c.task_id == bindparam("task")).order_by(runs.c.seq.desc()).limit(1)
)
_BEGINS: Final = Query(
    RunRow,
    lambda: (
        select(runs)
        .where(runs.c.id >= bindparam("first"), runs.c.id < bindparam("stop"))
        .order_by(runs.c.id.desc())
        .limit(_MOST_SHOWN + 1)
    ),
)


def find_run(connection: Connection, reference: str) -> Run:
    """Return the run that somebody names.

    Raises `RunNotFoundError`, `TaskNotFoundError`, and `AmbiguousRunError` for the beginning of several ids.
    """
    with suppress(RunNotFoundError):
        return history.read_run(connection, reference)
    task_id, mark, number = reference.rpartition("#")
    if mark and (number == LAST or _NUMBER.fullmatch(number)):
        return _of_task(connection, reference, task_id, number)
    found = _beginning_with(connection, reference)
    if not found:
        raise RunNotFoundError(reference)
    if len(found) > 1:
        raise AmbiguousRunError(reference, [row.id for row in found[:_MOST_SHOWN]], has_more=len(found) > _MOST_SHOWN)
    return history.to_run(found[0])


def _of_task(connection: Connection, reference: str, task_id: str, number: str) -> Run:
    values: dict[str, Any] = {"task": task_id}
    query = _LAST
    if number != LAST:
        query, values["number"] = _BY_NUMBER, int(number)
    row = connection.execute(query, values).first()
    if row is not None:
        return history.to_run(row)
    task = tasks.find(connection, task_id)
    if task is None and connection.execute(_LAST, {"task": task_id}).first() is None:
        raise TaskNotFoundError(task_id)
    was_there = None if task is None else number != LAST and int(number) <= task.last_seq
    raise RunNotFoundError(reference, was_there=was_there)


def _beginning_with(connection: Connection, reference: str) -> list[RunRow]:
    """Return the newest runs whose ids begin with a text of six characters or more."""
    beginning = reference.lower()
    if not _BEGINNING.fullmatch(beginning):
        return []
    rows = connection.execute(_BEGINS, {"first": beginning, "stop": f"{beginning}{_AFTER_DIGITS}"}).all()
    return [row for row in rows if row.id.startswith(beginning)]
