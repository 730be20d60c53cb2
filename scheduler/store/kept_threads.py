"""Threads of single runs: which have been kept for long enough."""

import json
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select

from scheduler.store.database.statements import Connection, Query
from scheduler.store.schema import HAS_THREAD_TO_DELETE, runs, tasks


@dataclass(frozen=True, slots=True)
class OldThread:
    """A thread of a single run that has been kept long enough."""

    run_id: str
    thread_id: str
    graph: str | None
    """The graph that its task names, as far as its definition can be read."""


class _ThreadRow(NamedTuple):
    id: str
    thread_id: str
    definition: str


_THREADS: Final = Query(
    _ThreadRow,
    lambda: (
        select(runs.c.id, runs.c.thread_id, tasks.c.definition)
        .join(tasks, tasks.c.id == runs.c.task_id)
        .where(HAS_THREAD_TO_DELETE, runs.c.thread_until <= bindparam("now"))
        .order_by(runs.c.thread_until)
        .limit(20)
    ),
)


def threads_to_delete(connection: Connection, now: int) -> list[OldThread]:
    """Return the threads of single runs that have been kept long enough; some at a time."""
    rows = connection.execute(_THREADS, {"now": now}).all()
    return [OldThread(row.id, row.thread_id, _graph_of(row.definition)) for row in rows]


def _graph_of(definition: str) -> str | None:
    """Return the graph that a definition names, also if this release does not know all its fields."""
    try:
        graph = json.loads(definition).get("graph")
    except (ValueError, AttributeError, RecursionError):
        return None
    return graph if isinstance(graph, str) else None
