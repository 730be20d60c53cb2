"""pause, resume, remove: changes of one task."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from scheduler import TaskScheduler
from scheduler.cli.commands.look import describe_task, exists
from scheduler.cli.errors import CommandError, ExitCode, unusable_tasks_fail
from scheduler.cli.options import Db, DbUrl, Json, TaskId, opened
from scheduler.cli.ui.asking import agrees, is_person
from scheduler.cli.ui.moments import parse_until
from scheduler.cli.ui.output import note as tell
from scheduler.cli.ui.output import say, show_json
from scheduler.errors import TaskNotFoundError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def pause(
    task_id: TaskId,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Resume the task after a time, such as 2h, or at an instant."),
    ] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Set the reason, for people.")] = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Pause a task: it has no due times until you resume it, or until the time that you give."""
    end = None if until is None else parse_until(until, datetime.now(UTC))
    with opened(db, db_url) as scheduler:
        scheduler.pause_task(task_id, until=end, note=note)
        report(scheduler, task_id, "Paused", as_json=as_json)


def resume(task_id: TaskId, db: Db = None, db_url: DbUrl = None, as_json: Json = False) -> None:
    """Resume a paused task, from its next due time on; look again at a task that cannot be used."""
    with opened(db, db_url) as scheduler:
        with unusable_tasks_fail():
            scheduler.resume_task(task_id)
        report(scheduler, task_id, "Resumed", as_json=as_json)


def remove(task_id: TaskId, yes: Yes = False, db: Db = None, db_url: DbUrl = None, as_json: Json = False) -> None:
    """Remove a task, after a question. A running run continues to its end, and the history stays."""
    with opened(db, db_url) as scheduler:
        if not exists(scheduler, task_id):
            raise TaskNotFoundError(task_id)
        if not yes and not _agreed(task_id):
            tell("Nothing was removed.")
            raise typer.Exit(ExitCode.FAILED)
        scheduler.remove_task(task_id)
    if as_json:
        show_json({"removed": task_id})
    else:
        say(f"Removed {task_id}.")


def _agreed(task_id: str) -> bool:
    if not is_person():
        raise CommandError("nobody can be asked here; give --yes to remove it", ExitCode.USAGE)
    return agrees(f"Remove task {task_id!r}?", default=False)


def report(scheduler: TaskScheduler, task_id: str, done: str, *, as_json: bool) -> None:
    """Print what became of a task."""
    shape = describe_task(scheduler, task_id)
    if as_json:
        show_json(shape)
    elif shape["next_due"] is None:
        say(f"{done} {task_id}.")
    else:
        say(f"{done} {task_id}; next due {shape['next_due']}.")
