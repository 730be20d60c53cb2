"""The tags of tasks: what `adding` stores of them, and which tasks have one."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, bindparam, delete, exists, select

from scheduler.store.database.statements import Bulk, Connection, Statement
from scheduler.store.schema import tags, tasks

_INSERT: Final = Bulk(lambda given: given.insert(tags, tags.c.keys()))
_DELETE: Final = Statement(lambda: delete(tags).where(tags.c.task_id.in_(bindparam("ids", expanding=True))))


def store(connection: Connection, tags_of: Mapping[str, Sequence[str]], replaced: Sequence[str]) -> None:
    """Store the tags of some tasks, by their ids; `replaced` had a row before."""
    forget(connection, replaced)
    rows = [{"tag": tag, "task_id": task_id} for task_id, each in tags_of.items() for tag in each]
    if rows:
        connection.execute_many(_INSERT, rows)


def forget(connection: Connection, ids: Sequence[str]) -> None:
    """Delete the tags of some tasks, at most some hundred."""
    if ids:
        connection.execute(_DELETE, {"ids": ids})


_TAGGED: Final = Statement(
    lambda: (
        select(tasks.c.id)
        .join(tags, tags.c.task_id == tasks.c.id)
        .where(tags.c.tag == bindparam("tag"), tasks.c.removed == 0)
        .order_by(tasks.c.id)
    )
)


def tagged(connection: Connection, tag: str) -> list[str]:
    """Return the tasks that have a tag, finished ones among them, by their ids."""
    return connection.execute(_TAGGED, {"tag": tag}).scalars()


_EVER_TAGGED: Final = Statement(
    lambda: select(tags.c.task_id).where(tags.c.tag == bindparam("tag")).limit(bindparam("limit"))
)


def ever_tagged(connection: Connection, tag: str, limit: int) -> list[str]:
    """Return at most `limit` tasks that have a tag, or had it when they were removed."""
    return connection.execute(_EVER_TAGGED, {"tag": tag, "limit": limit}).scalars()


_HAS: Final = Statement(
    lambda: select(tags.c.tag).where(tags.c.tag == bindparam("tag"), tags.c.task_id == bindparam("task"))
)


def is_tagged(connection: Connection, task_id: str, tag: str) -> bool:
    """Tell whether a task has a tag, or had it when it was removed."""
    return connection.execute(_HAS, {"tag": tag, "task": task_id}).first() is not None


def has_tag(task_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a task has the tag `:tag`."""
    return exists().where(tags.c.task_id == task_id, tags.c.tag == bindparam("tag"))
