"""pause, resume, remove: changes of one task, or of all tasks that have a tag."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from scheduler import TaskScheduler
from scheduler.cli.commands.look import describe_task, exists
from scheduler.cli.commands.many import MaybeTask, Tag, Yes, agree_on, agreed, check_one
from scheduler.cli.errors import ExitCode, unusable_tasks_fail
from scheduler.cli.options import Db, DbUrl, Json, opened
from scheduler.cli.ui.moments import parse_until
from scheduler.cli.ui.output import note as tell
from scheduler.cli.ui.output import say, show_json
from scheduler.errors import TaskNotFoundError
from scheduler.views import TaskState


def pause(
    task_id: MaybeTask = None,
    tag: Tag = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Resume the task after a time, such as 2h, or at an instant."),
    ] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Set the reason, for people.")] = None,
    yes: Yes = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Pause a task, or all that have a tag: no due times until you resume it, or until the time that you give."""
    check_one(task_id, tag)
    end = None if until is None else parse_until(until, datetime.now(UTC))
    with opened(db, db_url) as scheduler:
        if tag is not None:
            agree_on(scheduler, "Pause", tag, yes=yes)
            report_many("Paused", scheduler.pause_tasks(tag=tag, until=end, note=note), as_json=as_json)
        elif task_id is not None:
            scheduler.pause_task(task_id, until=end, note=note)
            report(scheduler, task_id, "Paused", as_json=as_json)


def resume(
    task_id: MaybeTask = None,
    tag: Tag = None,
    yes: Yes = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Resume a paused task from its next due time on, or all that have a tag; look again at what cannot be used."""
    check_one(task_id, tag)
    with opened(db, db_url) as scheduler:
        if tag is not None:
            agree_on(scheduler, "Resume", tag, yes=yes, states=(TaskState.PAUSED, TaskState.UNUSABLE))
            with unusable_tasks_fail():
                resumed = scheduler.resume_tasks(tag=tag)
            report_many("Resumed", resumed, as_json=as_json)
        elif task_id is not None:
            with unusable_tasks_fail():
                scheduler.resume_task(task_id)
            report(scheduler, task_id, "Resumed", as_json=as_json)


def remove(
    task_id: MaybeTask = None,
    tag: Tag = None,
    yes: Yes = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Remove a task, or all that have a tag, after a question. A running run continues, and the history stays."""
    check_one(task_id, tag)
    with opened(db, db_url) as scheduler:
        if tag is not None:
            agree_on(scheduler, "Remove", tag, yes=yes, states=tuple(TaskState))
            report_many("Removed", scheduler.remove_tasks(tag=tag), as_json=as_json)
            return
        if task_id is None or not exists(scheduler, task_id):
            raise TaskNotFoundError(str(task_id))
        if not yes and not agreed(f"Remove task {task_id!r}?"):
            tell("Nothing was removed.")
            raise typer.Exit(ExitCode.FAILED)
        scheduler.remove_task(task_id)
    if as_json:
        show_json({"removed": task_id})
    else:
        say(f"Removed {task_id}.")


def report(scheduler: TaskScheduler, task_id: str, done: str, *, as_json: bool) -> None:
    """Print what became of a task."""
    shape = describe_task(scheduler, task_id)
    if as_json:
        show_json(shape)
    elif shape["next_due"] is None:
        say(f"{done} {task_id}.")
    else:
        say(f"{done} {task_id}; next due {shape['next_due']}.")


def report_many(done: str, ids: Sequence[str], *, as_json: bool) -> None:
    """Print which tasks were changed."""
    if as_json:
        show_json({done.lower(): list(ids)})
        return
    for task_id in ids:
        say(f"{done} {task_id}.")
