"""Options that several commands have: the store, JSON, ids that the shell completes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from scheduler import TaskScheduler
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.ui.output import one_line
from scheduler.store.database.address import is_url

DEFAULT_STORE: Final = "scheduler.db"
VARIABLE: Final = "SCHEDULER_DB"
OWNER_VARIABLE: Final = "SCHEDULER_TRUSTED_OWNER"
_COMPLETED_RUNS: Final = 50


@contextmanager
def opened(db: Path | None, db_url: str | None, *, create: bool = False, **options: Any) -> Iterator[TaskScheduler]:  # noqa: ANN401
    """Open the store that the options, the environment or the default name; create one only if `create` is true.

    `options` are those of `TaskScheduler`. Raises `CommandError`, `StoreError`.
    """
    scheduler = TaskScheduler(**store_arguments(db, db_url), create=create, **options)
    try:
        yield scheduler
    finally:
        scheduler.stop()


def store_arguments(db: Path | None, db_url: str | None) -> dict[str, Any]:
    """Return where the store is, as arguments of `TaskScheduler`. Raises `CommandError`."""
    path, url = _place(db, db_url)
    return {"db_path": path} if url is None else {"db_url": url, "trusted_owner": os.environ.get(OWNER_VARIABLE)}


def _place(db: Path | None, db_url: str | None) -> tuple[Path, str | None]:
    if db is not None and db_url is not None:
        raise CommandError("--db and --db-url are two stores; give one of them", ExitCode.USAGE)
    if db is not None and is_url(str(db)):
        raise CommandError("--db is a URL; give it to --db-url", ExitCode.USAGE)
    if db is not None or db_url is not None:
        return db or Path(DEFAULT_STORE), db_url
    named = os.environ.get(VARIABLE) or DEFAULT_STORE
    if "://" not in named and is_url(named):
        raise CommandError(f"{VARIABLE} is no path, and no URL with two slashes", ExitCode.USAGE)
    return Path(named), named if "://" in named else None


def _completions(ctx: typer.Context, incomplete: str, *, of_runs: bool) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    # While a line is being written nothing may be printed, whatever is wrong with the store.
    with suppress(Exception), opened(_path(ctx.params.get("db")), ctx.params.get("db_url")) as scheduler:
        if of_runs:
            found = [(run.id, f"{run.task_id}, {run.status}") for run in scheduler.list_runs(limit=_COMPLETED_RUNS)]
        else:
            found = [(task.id, task.name) for task in scheduler.task_views()]
    return [
        (value, one_line(text)) for value, text in found if value.startswith(incomplete) and value == one_line(value)
    ]


def _path(value: object) -> Path | None:
    return None if value is None else Path(str(value))


def complete_task(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of tasks that begin so, each with its name."""
    return _completions(ctx, incomplete, of_runs=False)


def complete_run(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of the latest runs that begin so, each with its task and status."""
    return _completions(ctx, incomplete, of_runs=True)


_STORE: Final = "Store and output"

Db = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="PATH",
        help=f"Use this SQLite file; default: what {VARIABLE} names, or {DEFAULT_STORE}.",
        rich_help_panel=_STORE,
    ),
]
DbUrl = Annotated[
    str | None,
    typer.Option(
        "--db-url",
        metavar="URL",
        help="Use the store at this SQLAlchemy URL, such as one of PostgreSQL.",
        rich_help_panel=_STORE,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_STORE)]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="Name the task by its id.", autocompletion=complete_task)]
RUN_HELP: Final = "Name the run by its id, the beginning of it, or as TASK#NUMBER or TASK#last."
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help=RUN_HELP, autocompletion=complete_run)]
