"""watch: a live screen of what runs now and what comes next."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from scheduler import Run, RunStatus, TaskScheduler
from scheduler.cli.commands.history import run_rows
from scheduler.cli.commands.look import next_due_cell
from scheduler.cli.options import Db, DbUrl, Json, opened
from scheduler.cli.ui.moments import local
from scheduler.cli.ui.output import cell, console, one_line, show, show_json, status_cell, table
from scheduler.models import OPEN_STATUSES
from scheduler.shapes import in_words, run_shape, shown_seconds, task_shape, took
from scheduler.views import TaskView

_OPEN: Final = (RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PENDING)
_OVER: Final = tuple(status for status in RunStatus if status not in OPEN_STATUSES)
_REFRESH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Screen:
    """What is shown."""

    now: datetime
    schedulers: int
    open_runs: Sequence[Run]
    tasks: list[TaskView]
    lately: Sequence[Run]


def watch(
    number: Annotated[
        int, typer.Option("--number", "-n", metavar="NUMBER", min=1, max=1000, help="Show this many of each.")
    ] = 10,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Watch what runs now, what comes next and what ended, until Ctrl+C. Without a terminal, print it once."""
    with opened(db, db_url) as scheduler:
        people = console()
        if as_json:
            show_json(_shape(_look(scheduler, number)))
        elif not people.is_terminal:
            show(_drawn(_look(scheduler, number)))
        else:
            _live(scheduler, number)


def _live(scheduler: TaskScheduler, number: int) -> None:
    try:
        with Live(console=console(), screen=True, auto_refresh=False) as live:
            while True:
                live.update(_drawn(_look(scheduler, number)), refresh=True)
                time.sleep(_REFRESH_SECONDS)
    except KeyboardInterrupt:
        return


def _look(scheduler: TaskScheduler, number: int) -> Screen:
    open_runs = [run for status in _OPEN for run in scheduler.list_runs(status=status, limit=number)]
    ended = scheduler.list_runs(statuses=_OVER, limit=number)
    return Screen(
        now=datetime.now(UTC),
        schedulers=scheduler.running_schedulers(),
        open_runs=open_runs[:number],
        tasks=scheduler.task_views()[:number],
        lately=ended,
    )


def _shape(screen: Screen) -> dict[str, Any]:
    return {
        "at": screen.now.isoformat(),
        "schedulers": screen.schedulers,
        "now": [run_shape(run) for run in screen.open_runs],
        "next": [task_shape(task, None) for task in screen.tasks],
        "lately": [run_shape(run) for run in screen.lately],
    }


def _drawn(screen: Screen) -> RenderableType:
    running = f"{screen.schedulers} running" if screen.schedulers else "none running: nothing fires"
    parts: list[RenderableType] = [Text(f"{local(screen.now)}   schedulers: {running}", "bold"), Text()]
    parts += _section(
        "Now", ("TASK", "STATUS", "SINCE", "FOR", "STEP"), [_open_row(run, screen.now) for run in screen.open_runs]
    )
    parts += _section("Next", ("TASK", "DUE", "SCHEDULE"), [_task_row(task) for task in screen.tasks])
    columns, rows = run_rows(screen.lately, with_task=True)
    parts += _section("Lately", columns[1:], [row[1:] for row in rows])
    return Group(*parts)


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> list[RenderableType]:
    content = table(columns, rows) if rows else Text("nothing", "dim")
    return [Text(title, "bold underline"), content, Text()]


def _open_row(run: Run, now: datetime) -> list[str | Text]:
    since = run.started_at or run.scheduled_at
    lasted = shown_seconds(took(since, now))
    return [cell(run.task_id, "bold"), status_cell(run.status), local(since), lasted, one_line(run.current_step)]


def _task_row(task: TaskView) -> list[str | Text]:
    words = "" if task.definition is None else in_words(task.definition, task.timezone)
    return [cell(task.id, "bold"), next_due_cell(task), words]
