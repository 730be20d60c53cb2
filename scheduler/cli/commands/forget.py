"""forget: delete a conversation."""

import asyncio
from typing import Annotated, Any

import typer

from scheduler import TaskScheduler
from scheduler.cli.checkpoints import VARIABLE, beside, opened_saver
from scheduler.cli.commands.many import Yes, agreed
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.modules import default_graph, modules_of_working_directory
from scheduler.cli.options import Db, DbUrl, Json, complete_task, store_arguments
from scheduler.cli.ui.output import note, say, show_json


def forget(
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="ID", help="Remove the conversation of this task.", autocompletion=complete_task
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="NAME", help="Remove the conversation that the tasks of this session share."),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option("--graph", metavar="GRAPH", help="Use this graph for tasks that name none, as `serve` does."),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            "--checkpoints",
            metavar="PATH",
            envvar=VARIABLE,
            help="Look for it in this SQLite file or PostgreSQL URL; default: a file next to the store.",
        ),
    ] = None,
    yes: Yes = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Delete a conversation, so that the next run begins a new one. Tasks, runs and their answers stay."""
    if (task is None) == (session is None):
        raise CommandError("give --task ID or --session NAME", ExitCode.USAGE)
    named = f"of task {task!r}" if task is not None else f"of session {session!r}"
    if not yes and not agreed(f"Delete the conversation {named}?"):
        note("Nothing was deleted.")
        raise typer.Exit(ExitCode.FAILED)
    store, chosen = store_arguments(db, db_url), graph or default_graph()
    with modules_of_working_directory():
        place = checkpoints or beside(store, chosen)
        thread_id = asyncio.run(_forget({**store, "graph": chosen, "create": False}, place, session, task))
    if as_json:
        show_json({"thread_id": thread_id})
    else:
        say(f"Deleted the conversation {named} ({thread_id}).")


async def _forget(options: dict[str, Any], place: str | None, session: str | None, task: str | None) -> str:
    async with opened_saver(place) as saver:
        scheduler = TaskScheduler(**options, checkpointer=saver)
        try:
            return await scheduler.forget_session(session_id=session, task_id=task)
        finally:
            await scheduler.stop()
