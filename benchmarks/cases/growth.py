"""Growth: what a run costs when the store holds few or many other tasks, and a short or a long history."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import graphs
from benchmarks.cases.storm import storm_in
from benchmarks.measure import stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import PROMPT, cron, daily, rows
from scheduler import RunStatus, TaskScheduler

RUNS = 1_000
TEMPLATE = "cron-0"
PAGE = 50
CALLS = 5
HISTORY_OF_A_TASK = 1_000
"""The default of `history_limit`."""


def storm(setting: Setting, *, tasks: int, history: int) -> Figures:
    """Run a storm beside so many tasks that are not due, and so many runs that are over."""
    number, path = setting.sized(RUNS), setting.folder / "store.db"
    if not path.exists():
        _load(path, setting.sized(tasks), setting.sized(history, least=0))
    prefix = f"at-{time.time_ns()}"
    figures = asyncio.run(storm_in(str(path), number, prefix=prefix))
    graphs.check_each_once(number)
    with rows(str(path)) as ask:
        found = ask(f"SELECT status, count(*) FROM scheduler_runs WHERE task_id LIKE '{prefix}%' GROUP BY 1")
    assert found == [("succeeded", number)], f"the store has {found}"
    return {
        "us_per_run": figures["seconds"] / number * 1e6,
        "cpu_us_per_run": figures["cpu_seconds"] / number * 1e6,
        **_reading(str(path)),
    }


def _reading(path: str) -> Figures:
    """Ask for pages of 50: the slowest of each kind, in the median of several calls."""
    scheduler = TaskScheduler(db_path=path)
    middle = scheduler.list_runs(limit=100)[-1].id
    run_pages: list[dict[str, Any]] = [{}, {"before": middle}, {"tag": "few"}, {"tag": "many"}]
    run_pages += [{"status": status} for status in RunStatus]
    run_pages += [{"statuses": list(RunStatus), "since": datetime.now(UTC) - timedelta(hours=1)}]
    task_pages: list[dict[str, Any]] = [{}, {"after": "bulk-0000500"}, {"tag": "few"}, {"tag": "many"}]
    task_pages += [{"search": "cron-0"}, {"state": "paused"}, {"state": "finished"}, {"state": "scheduled"}]
    return {
        "run_page_ms": max(_median_ms(scheduler.list_runs, page) for page in run_pages),
        "task_page_ms": max(_median_ms(scheduler.find_tasks, page) for page in task_pages),
    }


def _median_ms(ask: Callable[..., Sequence[object]], wanted: dict[str, Any]) -> float:
    times = []
    for _ in range(CALLS):
        with stopwatch() as watch:
            ask(**wanted, limit=PAGE)
        times.append(watch.seconds * 1e3)
    return statistics.median(times)


def _load(path: Path, tasks: int, history: int) -> None:
    """Fill a store past the scheduler, from one task and one run of its own making; put in place when complete."""
    unfinished = path.with_name("loading.db")
    scheduler = TaskScheduler(db_path=unfinished)
    scheduler.add_task(cron(0, daily(0)))
    scheduler.trigger_task(TEMPLATE)
    scheduler.stop()
    with rows(str(unfinished)) as ask:
        year = 365 * 86_400 * 1_000_000
        task = {"id": "printf('bulk-%07d', n)", "next_due": f"next_due + {year} + n * 1000"}
        _copy(ask, "scheduler_tasks", f"id = '{TEMPLATE}'", task, tasks - 1)
        of_task = min(HISTORY_OF_A_TASK, max(1, history // max(1, tasks - 1)))
        past = f"ready_at - {year} + n * 1000000"
        run = {
            "id": "printf('010f0000-0000-7000-8000-%012x', n)",
            "task_id": f"printf('bulk-%07d', n / {of_task})",
            "seq": "n + 1",
            "scheduled_at": past,
            "ready_at": past,
            "started_at": past,
            "finished_at": past,
            "status": "'succeeded'",
            "trigger": "'schedule'",
            "attempt": "1",
            "response": f"'{PROMPT}'",
        }
        _copy(ask, "scheduler_runs", f"task_id = '{TEMPLATE}'", run, history)
        ask("DELETE FROM scheduler_runs WHERE status = 'pending'")
        ask("INSERT INTO scheduler_tags SELECT 'many', id FROM scheduler_tasks WHERE rowid % 2 = 0")
        ask("INSERT INTO scheduler_tags SELECT 'few', id FROM scheduler_tasks WHERE rowid % 1000 = 1")
        ask("PRAGMA wal_checkpoint(TRUNCATE)")
    unfinished.rename(path)


def _copy(ask, table: str, where: str, changed: dict[str, str], number: int) -> None:  # noqa: ANN001 (of `rows`)
    columns = [str(column[1]) for column in ask(f"PRAGMA table_info({table})")]
    values = ", ".join(changed.get(column, f'"{column}"') for column in columns)
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {number:d})"
    if number > 0:
        ask(f"{numbers} INSERT INTO {table} SELECT {values} FROM numbers, {table} WHERE {where}")
