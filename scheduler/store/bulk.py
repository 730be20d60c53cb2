"""Changes of all tasks that have a tag, in the transaction in progress."""

from typing import Any, Final

from sqlalchemy import Update, bindparam, case, not_, null, or_, select, update

from scheduler.store import queue, tagging
from scheduler.store import tasks as task_rows
from scheduler.store.database.statements import Connection, Statement
from scheduler.store.schema import tasks

_IS_UNFINISHED: Final = tasks.c.finished_at.is_(None)
_HAS_TAG: Final = tagging.has_tag(tasks.c.id)


def _chosen(*conditions: Any) -> Statement:  # noqa: ANN401 (conditions of SQLAlchemy)
    return Statement(lambda: select(tasks.c.id).where(_IS_UNFINISHED, _HAS_TAG, *conditions).order_by(tasks.c.id))


_UNFINISHED: Final = _chosen()
_OVERDUE: Final = _chosen(tasks.c.paused == 0, tasks.c.next_due <= bindparam("now"))
_TO_RESUME: Final = _chosen(or_(tasks.c.paused == 1, tasks.c.problem.is_not(None)))


def _pause_all(reason: Any) -> Update:  # noqa: ANN401 (a value of SQLAlchemy)
    return (
        update(tasks)
        .where(_IS_UNFINISHED, _HAS_TAG, not_(_is_overdue()))
        .values(
            paused=1,
            pause_reason=reason,
            paused_at=case((tasks.c.paused == 1, tasks.c.paused_at), else_=bindparam("since")),
            pause_until=bindparam("until"),
        )
    )


def _is_overdue() -> Any:  # noqa: ANN401 (a condition of SQLAlchemy)
    return (tasks.c.paused == 0) & tasks.c.next_due.is_not(None) & (tasks.c.next_due <= bindparam("now"))


_PAUSE: Final = Statement(lambda: _pause_all(bindparam("reason")))
_PAUSE_AS_BEFORE: Final = Statement(lambda: _pause_all(case((tasks.c.paused == 1, tasks.c.pause_reason), else_=null())))


def pause(connection: Connection, tag: str, now: int, reason: str | None, until: int | None) -> list[str]:
    """Pause the tasks that are not finished, as `tasks.pause` does; return their ids."""
    chosen = connection.execute(_UNFINISHED, {"tag": tag}).scalars()
    # What is due and unserved has to be accounted for, task by task; of the others, one statement is enough.
    for task_id in connection.execute(_OVERDUE, {"tag": tag, "now": now}).scalars():
        task_rows.pause(connection, task_id, now, reason, until)
    values: dict[str, Any] = {"tag": tag, "now": now, "since": now, "until": until}
    if reason is None:
        connection.execute(_PAUSE_AS_BEFORE, values)
    else:
        connection.execute(_PAUSE, {**values, "reason": reason})
    return chosen


def resume(connection: Connection, tag: str, now: int) -> list[str]:
    """Resume those that are paused or quarantined; return their ids. Raises `InvalidTaskError`."""
    chosen = connection.execute(_TO_RESUME, {"tag": tag}).scalars()
    for task_id in chosen:
        task_rows.resume(connection, task_id, now)
    return chosen


def remove(connection: Connection, tag: str, now: int) -> list[str]:
    """Remove the tasks, finished ones among them; return their ids."""
    chosen = tagging.tagged(connection, tag)
    for task_id in chosen:
        task_rows.remove(connection, task_id, now)
    return chosen


def trigger(  # noqa: PLR0913, PLR0917 (what to run, and what it has of its own)
    connection: Connection,
    tag: str,
    now: int,
    history_limit: int,
    prompt: str | None,
    metadata: dict[str, Any] | None,
) -> list[str]:
    """Queue a run by hand of each that is not finished; return the runs' ids, in the order of the tasks' ids.

    Raises `InvalidTaskError`, `ValueError`.
    """
    chosen = connection.execute(_UNFINISHED, {"tag": tag}).scalars()
    return [queue.trigger(connection, task_id, now, history_limit, prompt, metadata) for task_id in chosen]
