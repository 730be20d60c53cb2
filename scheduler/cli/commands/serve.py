"""serve: a scheduler in a process of its own, as a program with `TaskScheduler` in it would run it."""

import asyncio
import copy
import functools
import logging
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler import TaskScheduler, run_until_signal
from scheduler._safe_text import traceback_text
from scheduler._texts import escaped, indented
from scheduler.cli.applying import apply_file
from scheduler.cli.checkpoints import STORE_VARIABLE, VARIABLE, beside, opened_saver, opened_store
from scheduler.cli.commands.files import Source
from scheduler.cli.commands.web import pages_at, place_of
from scheduler.cli.errors import CommandError
from scheduler.cli.modules import default_graph, modules_of_working_directory, several_graphs
from scheduler.cli.options import Db, DbUrl, store_arguments
from scheduler.errors import GraphError
from scheduler.models import Durability


def serve(
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph",
            metavar="GRAPH",
            help="Run this graph for tasks that name no graph; default: that of langgraph.json, or graph:graph.",
        ),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(
            "--tasks",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Apply a tasks file at the start, with --prune, and again whenever it is edited.",
        ),
    ] = None,
    source: Source = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            "--checkpoints",
            metavar="PATH",
            envvar=VARIABLE,
            help="Keep conversations in this SQLite file or PostgreSQL URL; default: a file next to the store.",
        ),
    ] = None,
    no_checkpoints: Annotated[
        bool,
        typer.Option("--no-checkpoints", help="Attach no saver; only graphs with their own checkpointer remember."),
    ] = False,
    keep_checkpoints: Annotated[
        bool,
        typer.Option("--keep-checkpoints", help="Keep all checkpoints of a conversation, not only the last ones."),
    ] = False,
    remembered: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="PATH",
            envvar=STORE_VARIABLE,
            help="Give graphs a store of LangGraph's in this SQLite file or PostgreSQL URL, for what they remember.",
        ),
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Set the zone of new tasks that name no zone.")
    ] = "UTC",
    max_concurrent_runs: Annotated[
        int, typer.Option("--max-concurrent-runs", metavar="NUMBER", min=1, help="Run at most this many at once.")
    ] = 32,
    poll_interval: Annotated[
        float, typer.Option("--poll-interval", metavar="SECONDS", help="Look at the store at least this often.")
    ] = 1.0,
    shutdown_grace: Annotated[
        float,
        typer.Option("--shutdown-grace", metavar="SECONDS", help="Wait this long for running graphs after a signal."),
    ] = 30.0,
    lease: Annotated[
        float, typer.Option("--lease", metavar="SECONDS", help="Declare a run dead after this time without a renewal.")
    ] = 30.0,
    callback_timeout: Annotated[
        float,
        typer.Option("--callback-timeout", metavar="SECONDS", help="Cancel a result callback that takes longer."),
    ] = 60.0,
    misfire_grace: Annotated[
        float | None,
        typer.Option(
            "--misfire-grace",
            metavar="SECONDS",
            help="Record later due times as missed; for tasks that set no time.",
        ),
    ] = None,
    default_timeout: Annotated[
        float | None,
        typer.Option(
            "--default-timeout", metavar="SECONDS", help="Cancel longer attempts; for tasks that set no time-out."
        ),
    ] = None,
    history_limit: Annotated[
        int, typer.Option("--history-limit", metavar="NUMBER", min=1, help="Keep this many runs per task.")
    ] = 1000,
    input_builder: Annotated[
        str | None,
        typer.Option("--input-builder", metavar="PATH", help="Build the graph's input with this function."),
    ] = None,
    durability: Annotated[
        Durability | None,
        typer.Option(
            "--durability", metavar="WHEN", help=f"Set when checkpoints are written: {', '.join(Durability)}."
        ),
    ] = None,
    recursion_limit: Annotated[
        int | None, typer.Option("--recursion-limit", metavar="NUMBER", min=1, help="Limit the steps of a graph.")
    ] = None,
    web: Annotated[
        str | None,
        typer.Option("--web", metavar="[HOST:]PORT", help="Show the web view on this address, which is printed."),
    ] = None,
    web_allowed_hosts: Annotated[
        list[str] | None,
        typer.Option("--web-allowed-host", metavar="NAME", help="Allow this host name there; can be repeated."),
    ] = None,
    telemetry: Annotated[bool, typer.Option("--telemetry", help="Send spans and metrics to OpenTelemetry.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also log the start of each run.")] = False,
    db: Db = None,
    db_url: DbUrl = None,
) -> None:
    """Run a scheduler on the store until Ctrl+C or SIGTERM, then wait for running graphs. It logs to standard error."""
    _log_to_stderr(verbose=verbose)
    # LangGraph reads it when it is imported: a checkpoint then brings back the types that the graph's state names, and
    # cannot name a function to call.
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
    store = store_arguments(db, db_url)
    if web_allowed_hosts and web is None:
        raise CommandError("--web-allowed-host goes with --web; give both")
    if source is not None and tasks is None:
        raise CommandError("--source names the tasks of a file; give the file with --tasks FILE, too")
    chosen = graph or default_graph()
    options = {
        **store,
        "graph": chosen,
        "timezone": timezone,
        "max_concurrent_runs": max_concurrent_runs,
        "poll_interval": poll_interval,
        "shutdown_grace_seconds": shutdown_grace,
        "lease_seconds": lease,
        "callback_timeout_seconds": callback_timeout,
        "misfire_grace_seconds": misfire_grace,
        "default_timeout_seconds": default_timeout,
        "history_limit": history_limit,
        "input_builder": input_builder,
        "durability": durability,
        "recursion_limit": recursion_limit,
        "telemetry": telemetry,
        "freeze_gc": True,
        "thin_checkpoints": not keep_checkpoints,
    }
    try:
        with modules_of_working_directory():
            place = None if no_checkpoints else checkpoints or beside(store, chosen)
        pages = None if web is None else (*place_of(web), web_allowed_hosts or [])
        asyncio.run(_serve(options, tasks, source, (place, remembered), pages))
    except GraphError as error:
        choice = several_graphs() if graph is None else None
        raise error if choice is None else CommandError(choice) from error
    except KeyboardInterrupt:  # only where there are no signal handlers; the scheduler has stopped
        raise typer.Exit(0) from None


async def _serve(
    options: dict[str, Any],
    tasks: Path | None,
    source: str | None,
    places: tuple[str | None, str | None],
    pages: tuple[str, int, list[str]] | None,
) -> None:
    checkpoints, remembered = places
    async with opened_saver(checkpoints) as saver, opened_store(remembered) as store, AsyncExitStack() as stack:
        scheduler = TaskScheduler(**options, checkpointer=saver, store=store)
        apply = None if tasks is None else functools.partial(apply_file, scheduler, tasks, source)
        with modules_of_working_directory():
            if pages is not None:
                host, port, allowed = pages
                await stack.enter_async_context(pages_at(scheduler, host, port, allowed_hosts=allowed))
            await run_until_signal(scheduler, tasks, apply=apply)


class _OneLineFormatter(logging.Formatter):
    """Makes one line of each record, with the indented lines of a traceback: no text in it looks like a new record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record; a traceback that another formatter has left in it is made again."""
        own = copy.copy(record)
        own.exc_text = None if record.exc_info else record.exc_text
        return super().format(own)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        """Return the first line."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802 (logging's own signature)
        """Return a traceback."""
        return "" if ei[1] is None else traceback_text(ei[1])

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 (logging's own name)
        """Return where a record was made."""
        return indented(stack_info)


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLineFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("apscheduler", "watchfiles", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.WARNING)  # the scheduler's own lines say the same
    if verbose:
        logging.getLogger("scheduler").setLevel(logging.DEBUG)
