"""apply, export: tasks from a file, and into one."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from scheduler import TaskChanges, TaskDefinition, TaskScheduler, load_tasks
from scheduler.cli.errors import CommandError, sentence
from scheduler.cli.modules import modules_of_working_directory
from scheduler.cli.options import Db, DbUrl, Json, complete_task, opened
from scheduler.cli.ui.output import console, note, one_line, say, say_as_utf8, show_json
from scheduler.errors import InvalidTaskError, StoreNotFoundError
from scheduler.tasks_file import dump_tasks, located, source_of
from scheduler.views import TaskState

_CODE_FIELDS: Final = ("result_callback", "input_builder", "graph")
_MARKS: Final = {
    "added": ("+", "green", "added", "would be added"),
    "changed": ("~", "yellow", "changed", "would be changed"),
    "kept": ("=", "dim", "kept", "would be kept"),
    "removed": ("-", "red", "removed", "would be removed"),
}

Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Remember the file's tasks under this name, so that the file can be moved; default: its path.",
    ),
]
File = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="Read the tasks from this TOML file.")
]


def apply(
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove tasks that came from this file and are no longer in it.")
    ] = False,
    source: Source = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Make the store match a tasks file, in one transaction."""
    tasks = loaded(file)
    with _opened_for(db, db_url, dry_run=dry_run) as scheduler:
        code = new_code(scheduler, tasks)
        for each in code:
            note(f"New code will be called: {each['field']}={each['path']!r} of task {each['task_id']}")
        progress = console(stderr=True).status(f"{len(tasks)} tasks")
        with progress, redirect_stdout(sys.stderr), modules_of_working_directory():
            changes = applied(scheduler, tasks, file, source, prune=prune, dry_run=dry_run)
    for task_id, reason in changes.left_out:
        note(f"warning: task {task_id} is left out: {reason}")
    if dry_run:
        _note_sources(changes)
    if as_json:
        left_out = [{"id": task_id, "reason": reason} for task_id, reason in changes.left_out]
        orphaned = [{"id": task_id, "file": file} for task_id, file in changes.orphaned]
        show_json(
            {
                **changes.model_dump(mode="json"),
                "left_out": left_out,
                "orphaned": orphaned,
                "new_code": code,
                "dry_run": dry_run,
            }
        )
    else:
        _show_changes(changes, dry_run=dry_run)


@contextmanager
def _opened_for(db: Path | None, db_url: str | None, *, dry_run: bool) -> Iterator[TaskScheduler]:
    """Open the store; a dry run creates none, and is tried on an empty one."""
    with ExitStack() as stack:
        try:
            scheduler = stack.enter_context(opened(db, db_url, create=not dry_run))
        except StoreNotFoundError:
            scheduler = stack.enter_context(opened(None, "sqlite://", create=True))
        yield scheduler


def loaded(file: Path) -> list[TaskDefinition]:
    """Return the tasks of a file. Raises `CommandError`."""
    try:
        return load_tasks(file)
    except ValueError as error:
        raise CommandError(sentence(error)) from error


def applied(
    scheduler: TaskScheduler,
    tasks: list[TaskDefinition],
    file: Path,
    source: str | None,
    *,
    prune: bool,
    dry_run: bool = False,
) -> TaskChanges:
    """Make the store hold the tasks of a file, under its own name or another one. Raises `CommandError`.

    What the file brought under its path, before it had a name, belongs to its name then.
    """
    name, path = source or source_of(file), str(file.absolute())
    try:
        return scheduler.apply_tasks(tasks, source=name, prune=prune, dry_run=dry_run, adopt={path} - {name})
    except InvalidTaskError as error:
        raise CommandError(f"{sentence(located(file, error))}; nothing was changed") from error


def new_code(scheduler: TaskScheduler, tasks: Iterable[TaskDefinition]) -> list[dict[str, str]]:
    """Return what these tasks would let the scheduler import that no stored task does."""
    stored = [listed.definition for listed in scheduler.task_views() if listed.definition is not None]
    known = {getattr(task, field) for task in stored for field in _CODE_FIELDS}
    found: dict[str, dict[str, str]] = {}
    for task in tasks:
        for field in _CODE_FIELDS:
            path = getattr(task, field)
            if path is not None and path not in known:
                found.setdefault(path, {"task_id": task.id, "field": field, "path": path})
    return list(found.values())


def _note_sources(changes: TaskChanges) -> None:
    """Show what the scheduler itself says when it is done."""
    for source in changes.adopted:
        note(f"warning: the tasks of {source} would belong to this source")
    for task_id, file in changes.orphaned:
        note(f"warning: task {task_id}: its file {file} does not exist here")


def _show_changes(changes: TaskChanges, *, dry_run: bool) -> None:
    people = console()
    for field, (mark, style, _, _) in _MARKS.items():
        if field != "kept":
            for task_id in getattr(changes, field):
                people.print(Text(f"{mark} {one_line(task_id)}", style), soft_wrap=True)
    done = [
        f"{len(ids)} {would if dry_run else did}"
        for field, (_, _, did, would) in _MARKS.items()
        if (ids := getattr(changes, field))
    ]
    say(", ".join(done) or ("Nothing to do." if changes.left_out else "The file holds no tasks."))


def export(
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Export only these tasks.", autocompletion=complete_task),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this new file instead of printing.")
    ] = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Print the tasks as a tasks file, which `apply` can read."""
    with opened(db, db_url) as scheduler:
        listed = [task for task in scheduler.task_views() if not task_ids or task.id in task_ids]
        finished = [scheduler.get_task(task_id) for task_id in set(task_ids or ()) - {task.id for task in listed}]
    tasks = [task.definition for task in listed if task.definition is not None] + finished
    tasks.sort(key=lambda task: task.id)
    for task in listed:
        if task.definition is None:
            note(f"warning: task {task.id} is left out: {task.next_run}")
        elif task.state is TaskState.PAUSED and task.definition.enabled:
            note(f"Task {task.id} is paused in this store; the file does not say so.")
    if output is not None:
        _write_new(output, dump_tasks(tasks))
        note(f"Wrote {len(tasks)} tasks to {output}.")
    elif as_json:
        show_json([task.model_dump(mode="json") for task in tasks])
    else:
        say_as_utf8(dump_tasks(tasks))


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise CommandError(f"{file} exists; name another --output, or remove it first") from None
