"""edit: change fields of a task, by options or in an editor."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from scheduler import TaskDefinition, TaskScheduler
from scheduler.cli.calendar_options import stored_calendar
from scheduler.cli.commands.changes import report
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.modules import modules_of_working_directory
from scheduler.cli.options import Db, DbUrl, Json, TaskId, opened
from scheduler.cli.schedule_options import one_schedule
from scheduler.cli.ui.editing import edit_file
from scheduler.cli.ui.output import say
from scheduler.tasks_file import dump_tasks, load_tasks

_NO_SCHEDULE: Final = dict.fromkeys(["cron_expression", "interval_seconds", "run_at"])


def edit(
    task_id: TaskId,
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="Set the prompt.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Set the name for people.")] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="EXPRESSION", help="Use this cron expression from now on.")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="Repeat after this time from now on.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="INSTANT", help="Run once, at this time.")] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="WORDS", help="Use this schedule in words from now on.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="Set the IANA zone of the schedule.")
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Set any field of a task; the value is JSON, or else text. Can be repeated.",
        ),
    ] = None,
    editor: Annotated[
        bool, typer.Option("--editor", help="Edit the whole task in the editor that $VISUAL or $EDITOR names.")
    ] = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Change a task; what you do not name stays as it is. An unchanged schedule keeps its due times and its pause."""
    changes: dict[str, Any] = dict(_field(text) for text in others or [])
    changes |= {field: value for field, value in (("prompt", prompt), ("name", name)) if value is not None}
    if any(text is not None for text in (cron, every, at, schedule)):
        when = one_schedule(cron=cron, every=every, at=at, words=schedule, timezone=timezone)
        changes |= {**_NO_SCHEDULE, **when}
    elif timezone is not None:
        changes["timezone"] = timezone
    if editor == bool(changes):
        raise CommandError("give what to change, or --editor", ExitCode.USAGE)
    with opened(db, db_url) as scheduler:
        expected = scheduler.get_task(task_id) if editor else None
        if expected is not None:
            changes = _edited(expected)
        if not changes:
            say("Nothing was changed.")
            return
        with modules_of_working_directory():
            _update(scheduler, task_id, expected, changes)
        report(scheduler, task_id, "Changed", as_json=as_json)


def _update(scheduler: TaskScheduler, task_id: str, expected: TaskDefinition | None, changes: dict[str, Any]) -> None:
    if {"self", "task_id", "expected"} & changes.keys():  # these would be taken for arguments of the call
        raise CommandError(f"{', '.join(sorted(changes))}: there is no such field of a task", ExitCode.USAGE)
    if isinstance(name := changes.get("calendar"), str):
        changes = {**changes, "calendar": stored_calendar(scheduler, name)}
    scheduler.update_task(task_id, expected=expected, **changes)


def _field(text: str) -> tuple[str, Any]:
    field, equals, value = text.partition("=")
    if not equals or not field:
        raise CommandError(f"--set {text!r}: give FIELD=VALUE", ExitCode.USAGE)
    try:
        return field, json.loads(value)
    except (ValueError, RecursionError):
        return field, value


def _edited(task: TaskDefinition) -> dict[str, Any]:
    """Return the fields that a person has changed in an editor. Raises `CommandError`, `TasksFileError`."""
    with tempfile.TemporaryDirectory(prefix="task-scheduler-") as folder:
        file = Path(folder) / "task.toml"
        file.write_text(dump_tasks([task]), encoding="utf-8")
        edit_file(file)
        found = load_tasks(file)
    if [each.id for each in found] != [task.id]:
        raise CommandError(f"the file must hold task {task.id!r}, and no other one; nothing was changed")
    fields = ((field, getattr(found[0], field)) for field in TaskDefinition.model_fields)
    return {field: value for field, value in fields if value != getattr(task, field)}
