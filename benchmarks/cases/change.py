"""Pause, resume and remove among many tasks, beside the bare transaction of sqlite3 on the same tables."""

import sqlite3

from benchmarks.cases.add import median_of
from benchmarks.model import Figures, Setting
from benchmarks.stores import fill, in_another_process, rows
from scheduler import TaskScheduler

TASKS = 10_000
CALLS = 300
"""How many tasks are paused, resumed and removed."""
PAUSE = "UPDATE scheduler_tasks SET paused = 1 WHERE id = ?"
RESUME = "UPDATE scheduler_tasks SET paused = 0 WHERE id = ?"
REMOVE = "UPDATE scheduler_tasks SET removed = 1, next_due = NULL, finished_at = 1 WHERE id = ?"
COUNT = "SELECT count(*) FROM scheduler_tasks WHERE removed = 1"


def ours(setting: Setting) -> Figures:
    """Call the face's methods."""
    path, ids = _store(setting)
    scheduler = TaskScheduler(db_path=path)
    scheduler.get_task(ids[0])
    calls = {"pause": scheduler.pause_task, "resume": scheduler.resume_task, "remove": scheduler.remove_task}
    figures = {}
    for name, call in calls.items():
        left = iter(ids)
        figures[f"{name}_us"] = median_of(len(ids), lambda call=call, left=left: call(next(left)))["us"]
    _check(path, len(ids))
    return figures


def bare(setting: Setting) -> Figures:
    """Send one UPDATE in a transaction for each."""
    path, ids = _store(setting)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    figures = {}
    for name, statement in {"pause": PAUSE, "resume": RESUME, "remove": REMOVE}.items():
        left = iter(ids)

        def change(statement: str = statement, left: "iter[str]" = left) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(statement, (next(left),))
            connection.execute("COMMIT")

        figures[f"{name}_us"] = median_of(len(ids), change)["us"]
    _check(path, len(ids))
    return figures


def _store(setting: Setting) -> tuple[str, list[str]]:
    number, path = setting.sized(TASKS), setting.fresh_store()
    in_another_process(fill, path, number)
    calls = min(number, setting.sized(CALLS))
    # Spread over the whole table.
    return path, [f"cron-{each}" for each in range(0, number, number // calls)][:calls]


def _check(path: str, number: int) -> None:
    with rows(path) as ask:
        assert ask(COUNT) == [(number,)]
