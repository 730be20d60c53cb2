"""What graphs answered at length: `runs` keeps the beginning, and a table of its own the whole."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import bindparam, delete, select

from scheduler.store.database.statements import Bulk, Connection, Statement
from scheduler.store.schema import responses, runs

SHORT: Final = 2_000
"""So many characters of a response stand with its run."""

_STORE: Final = Bulk(lambda given: given.insert(responses, responses.c.keys()))
_FORGET: Final = Statement(lambda: delete(responses).where(responses.c.run_id.in_(bindparam("ids", expanding=True))))


def store(connection: Connection, whole: Mapping[str, str], answered_before: Sequence[str]) -> None:
    """Store the responses of runs that are longer than what `runs` keeps; forget what some have answered before."""
    if answered_before:
        connection.execute(_FORGET, {"ids": answered_before})
    rows = [{"run_id": run_id, "response": text} for run_id, text in whole.items() if len(text) > SHORT]
    if rows:
        connection.execute_many(_STORE, rows)


_READ: Final = Statement(lambda: select(responses.c.response).where(responses.c.run_id == bindparam("run")))


def read(connection: Connection, run_id: str) -> str | None:
    """Return the whole response of a run; None: it is no longer than what `runs` keeps."""
    found: list[str] = connection.execute(_READ, {"run": run_id}).scalars()
    return found[0] if found else None


_OF_TASKS: Final = Statement(
    lambda: delete(responses).where(
        responses.c.run_id.in_(select(runs.c.id).where(runs.c.task_id.in_(bindparam("ids", expanding=True))))
    )
)


def forget_of_tasks(connection: Connection, ids: Iterable[str]) -> None:
    """Forget the responses of all runs of some tasks, before these are deleted."""
    connection.execute(_OF_TASKS, {"ids": list(ids)})
