"""Pause, resume and remove among many tasks, beside the bare transaction of sqlite3 on the same tables."""

import shutil
import sqlite3

from benchmarks.cases.add import medians_in_turn
from benchmarks.measure import stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import check_listed, fill, in_another_process, rows
from scheduler import TaskScheduler

TASKS = 10_000
CALLS = 300
"""How many tasks are paused, resumed and removed."""
PAUSE = "UPDATE scheduler_tasks SET paused = 1 WHERE id = ?"
RESUME = "UPDATE scheduler_tasks SET paused = 0 WHERE id = ?"
REMOVE = "UPDATE scheduler_tasks SET removed = 1, next_due = NULL, finished_at = 1 WHERE id = ?"
COUNT = "SELECT count(*) FROM scheduler_tasks WHERE removed = 1"


def in_turn(setting: Setting) -> Figures:
    """Call each method in turn with a bare UPDATE of the same row in another file: the disk changes its pace."""
    number = setting.sized(TASKS)
    path, bare_path = setting.fresh_store(), setting.fresh_store("bare.db")
    in_another_process(fill, path, number)
    shutil.copy(path, bare_path)
    scheduler, connection = TaskScheduler(db_path=path), sqlite3.connect(bare_path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    scheduler.get_task("cron-0")
    calls = min(number, setting.sized(CALLS))
    # Spread over the whole table.
    ids = [f"cron-{each}" for each in range(0, number, number // calls)][:calls]

    def change(statement: str, task_id: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement, (task_id,))
        connection.execute("COMMIT")

    figures: dict[str, float] = {}
    ours = {PAUSE: scheduler.pause_task, RESUME: scheduler.resume_task, REMOVE: scheduler.remove_task}
    for name, statement in {"pause": PAUSE, "resume": RESUME, "remove": REMOVE}.items():
        pair = {
            f"{name}_us": lambda each, call=ours[statement]: call(ids[each]),
            f"{name}_bare_us": lambda each, statement=statement: change(statement, ids[each]),
        }
        figures.update(medians_in_turn(calls, **pair))
    for each in (path, bare_path):
        with rows(each) as ask:
            assert ask(COUNT) == [(calls,)]
    check_listed(path, number - calls)
    return figures


def by_tag(setting: Setting) -> Figures:
    """Pause, resume and remove all tasks at once, by a tag that each of them has."""
    number, path = setting.sized(TASKS), setting.fresh_store()
    in_another_process(fill, path, number)
    with rows(path) as ask:
        ask("INSERT INTO scheduler_tags SELECT 'all', id FROM scheduler_tasks")
    scheduler = TaskScheduler(db_path=path)
    figures: dict[str, float] = {}
    for name, change in {
        "pause": scheduler.pause_tasks,
        "resume": scheduler.resume_tasks,
        "remove": scheduler.remove_tasks,
    }.items():
        with stopwatch() as watch:
            assert len(change(tag="all")) == number
        figures[f"{name}_ms"] = watch.seconds * 1e3
    check_listed(path, 0)
    return figures
