"""When a calendar that has a name is changed: the tasks that hold it follow."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select

from scheduler.calendars import Calendar
from scheduler.models import calendar_of
from scheduler.store.adding import NewTask, add, prepare
from scheduler.store.database.statements import Connection, Query
from scheduler.store.rows import TaskRow
from scheduler.store.schema import tasks
from scheduler.store.tasks import read_definition

_HAS_CALENDAR: Final = Query(
    TaskRow,
    lambda: (
        select(tasks)
        .where(tasks.c.removed == 0, tasks.c.finished_at.is_(None), tasks.c.definition.like('%"calendar":{"name":"%'))
        .order_by(tasks.c.id)
    ),
)


def follow_calendars(connection: Connection, calendars: Mapping[str, Calendar], now: int) -> list[str]:
    """Give tasks the calendars that their names now stand for; return the ids of those that had others.

    A task whose due times move is computed from now, as one whose schedule was changed.
    """
    changed_tasks: list[NewTask] = []
    for row in connection.execute(_HAS_CALENDAR):
        task = read_definition(row)
        calendar = None if task is None else calendar_of(task)
        named = None if calendar is None else calendars.get(str(calendar.name))
        if task is not None and named is not None and named != calendar:
            followed = task.model_copy(update={"calendar": named})
            changed_tasks.append(prepare(followed, row.zone, calendars, row.source))
    left_out = {task_id for task_id, _ in add(connection, changed_tasks, now)}
    return [new.task.id for new in changed_tasks if new.task.id not in left_out]
