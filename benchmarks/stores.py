"""Tasks for the cases, and what is found in a store afterwards, by a connection of its own."""

import contextlib
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from scheduler import TaskDefinition, TaskScheduler, TaskType

PROMPT = "Summarise what happened since yesterday."


def once(number: int, run_at: datetime, prefix: str = "once") -> TaskDefinition:
    """Return a one-time task."""
    task_id = f"{prefix}-{number}"
    return TaskDefinition(
        id=task_id, name=f"Task {number}", task_type=TaskType.ONE_TIME, run_at=run_at, prompt=PROMPT, session_id=task_id
    )


def cron(number: int, expression: str) -> TaskDefinition:
    """Return a cron task."""
    return TaskDefinition(
        id=f"cron-{number}",
        name=f"Task {number}",
        task_type=TaskType.CRON,
        cron_expression=expression,
        prompt=PROMPT,
    )


def daily(number: int) -> str:
    """Return one of 1,440 expressions: every minute of the day has its own."""
    return f"{number % 60} {number // 60 % 24} * * *"


def fill(path: str, number: int) -> None:
    """Add so many cron tasks to a store, none of which is due soon."""
    tomorrow = in_seconds(86_400)
    tasks = [cron(each, daily(each)).model_copy(update={"start_at": tomorrow}) for each in range(number)]
    TaskScheduler(db_path=path).add_tasks(tasks)


def in_seconds(seconds: float) -> datetime:
    """Return an instant from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


@contextlib.contextmanager
def rows(store: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Give a function that asks a store, a file's path or an URL of PostgreSQL, in SQL."""
    if "://" in store:
        with psycopg.connect(store.replace("+psycopg", ""), autocommit=True) as connection:
            yield lambda query: connection.execute(query.encode()).fetchall()
    else:
        with contextlib.closing(sqlite3.connect(store, isolation_level=None, timeout=30)) as file:
            yield lambda query: file.execute(query).fetchall()


def check_history(store: str, **statuses: int) -> None:
    """Raise unless the store holds exactly so many runs of each status."""
    with rows(store) as ask:
        found = dict(ask("SELECT status, count(*) FROM scheduler_runs GROUP BY status"))
    assert found == statuses, f"the store has {found}, not {statuses}"


def check_listed(path: str, number: int) -> None:
    """Raise unless a store, as a fresh process finds it, has so many tasks that are not finished."""
    in_another_process(_check_listed, path, number)


def _check_listed(path: str, number: int) -> None:
    listed = len(TaskScheduler(db_path=path).list_tasks())
    assert listed == number, f"the next process finds {listed} tasks, not {number}"


def in_another_process(function: Callable[..., None], *arguments: object) -> None:
    """Call a function of a module in a fresh process, and wait for it."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0, f"{function.__name__} ended with {process.exitcode}"
