"""check: what would keep tasks from running."""

import asyncio
import functools
import importlib.metadata
import sys
import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from scheduler import SchedulerError, StoreError, TaskDefinition, TaskScheduler
from scheduler.cli.checkpoints import VARIABLE
from scheduler.cli.errors import ExitCode, sentence
from scheduler.cli.modules import modules_of_working_directory, project_here
from scheduler.cli.options import Db, DbUrl, Json, opened, store_arguments
from scheduler.cli.permissions import ProjectFiles, open_to_others
from scheduler.cli.ui.output import console, show_json, show_table
from scheduler.errors import ProjectFileError
from scheduler.graphs.loading import server_problem
from scheduler.langgraph_json import FILE
from scheduler.server_url import is_server_url
from scheduler.store import database_at
from scheduler.views import TaskView

_RELEASED: Final = datetime(2025, 1, 1, tzinfo=UTC)
_SLACK: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    ok: bool
    detail: str


def check(
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph", metavar="GRAPH", help="Check this graph, as the scheduler's; default: those of langgraph.json."
        ),
    ] = None,
    input_builder: Annotated[
        str | None,
        typer.Option("--input-builder", metavar="PATH", help="Use this function to build that graph's input."),
    ] = None,
    tasks: Annotated[
        Path, typer.Option("--tasks", metavar="FILE", help="Look at who can change this tasks file.")
    ] = Path("tasks.toml"),
    checkpoints: Annotated[
        str | None,
        typer.Option(
            "--checkpoints",
            metavar="PATH",
            envvar=VARIABLE,
            help="Look at who can read the conversations in this file; default: a file next to the store.",
        ),
    ] = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Check what could prevent tasks from running: store, tasks, graphs, callbacks, time zones, clock."""
    with redirect_stdout(sys.stderr):  # what imported modules print is no part of the report
        findings = [*_machine()]
        try:
            findings += [*_project(), *_graphs(graph, input_builder), *_store(db, db_url)]
        except ProjectFileError as error:
            findings.append(Finding(FILE, ok=False, detail=sentence(error)))
        findings += _files(db, db_url, checkpoints, tasks)
    all_fine = all(finding.ok for finding in findings)
    if as_json:
        show_json({"ok": all_fine, "checks": [asdict(finding) for finding in findings]})
    else:
        rows = [(_mark(finding), finding.name, finding.detail) for finding in findings]
        show_table(("", "CHECK", "FOUND"), rows, keep=["FOUND"])
    if not all_fine:
        raise typer.Exit(ExitCode.FAILED)


def _files(db: Path | None, db_url: str | None, checkpoints: str | None, tasks: Path) -> Iterator[Finding]:
    place = store_arguments(db, db_url)
    store: Path | None = place.get("db_path")
    with suppress(StoreError):  # the finding of the store says it
        store = database_at(store, place.get("db_url")).file  # a URL, too, can name a file
    conversations = None if store is None else store.with_suffix(".checkpoints.db")
    if checkpoints is not None:
        conversations = None if "://" in checkpoints else Path(checkpoints)
    problems = list(open_to_others(ProjectFiles(store, conversations, tasks)))
    for can_change, problem in problems:
        yield Finding("files", ok=not can_change, detail=problem)
    if not problems:
        yield Finding("files", ok=True, detail="no other user can change the store or the tasks file")


def _mark(finding: Finding) -> Text:
    return Text("ok", "green") if finding.ok else Text("NOT OK", "red")


def _machine() -> Iterator[Finding]:
    try:
        zoneinfo.ZoneInfo("Europe/Berlin")
        version = importlib.metadata.version("tzdata")
        detail = f"{len(zoneinfo.available_timezones())} zones; tzdata {version} where the system has none"
        yield Finding("time zones", ok=True, detail=detail)
    except (zoneinfo.ZoneInfoNotFoundError, importlib.metadata.PackageNotFoundError) as error:
        yield Finding("time zones", ok=False, detail=f"{error}; install tzdata")
    now = datetime.now(UTC)
    yield Finding("clock", ok=now >= _RELEASED, detail=f"{now.isoformat(' ', 'seconds')}")


def _project() -> Iterator[Finding]:
    """Say what a langgraph.json has, and what it names that is not there. Raises `ProjectFileError`."""
    project = project_here()
    if project is None:
        return
    project.environment()
    for folder in project.missing_folders:
        hint = "correct the path, or leave it out"
        yield Finding(FILE, ok=False, detail=f"there is no folder {folder}, which `dependencies` names; {hint}")
    env = f"; {project.missing_env.name}, which `env` names, is not there" if project.missing_env else ""
    yield Finding(FILE, ok=True, detail=f"its graphs: {', '.join(project.graphs) or 'none'}{env}")


def _graphs(graph: str | None, input_builder: str | None) -> Iterator[Finding]:
    """Look at the graph that an option names, or else at those of langgraph.json."""
    project = project_here() if graph is None else None
    if graph is not None:
        yield _graph("graph", graph, input_builder)
    elif project is None:
        yield Finding("graph", ok=True, detail="not looked at; name it with --graph")
    else:
        for name in project.python_graphs:
            yield _graph(f"graph {name}", name, input_builder)


def _graph(title: str, graph: str, input_builder: str | None) -> Finding:
    problem = graph_problem(graph, input_builder)
    return Finding(title, ok=problem is None, detail=problem or f"{graph} can be invoked")


def graph_problem(graph: str, input_builder: str | None = None) -> str | None:
    """Import a graph as a scheduler does at its start, or ask its server; return why it cannot be invoked, or None."""

    async def start() -> None:
        async with TaskScheduler(persistent=False, graph=graph, input_builder=input_builder):
            pass

    try:
        with modules_of_working_directory():
            asyncio.run(start())
        if is_server_url(graph):
            return _server_problem(graph)
    except (SchedulerError, ValueError) as error:
        return sentence(error)
    return None


def _store(db: Path | None, db_url: str | None) -> Iterator[Finding]:
    try:
        with opened(db, db_url) as scheduler, console(stderr=True).status("tasks"):
            runs, schedulers = scheduler.list_runs(limit=1), scheduler.running_schedulers()
            with modules_of_working_directory():
                problems = scheduler.check_tasks()
            tasks = scheduler.task_views()
    except SchedulerError as error:
        yield Finding("store", ok=False, detail=sentence(error))
        return
    yield Finding("store", ok=True, detail=f"its schema is known; {len(tasks)} tasks")
    running = f"{schedulers} running" if schedulers else "none is running: nothing fires until one does"
    yield Finding("schedulers", ok=True, detail=running)
    began = runs[0].started_at if runs else None
    if began is not None and began > datetime.now(UTC) + _SLACK:
        detail = f"the newest run began at {began.isoformat(' ', 'seconds')}: the clock was put back"
        yield Finding("history", ok=False, detail=detail)
    yield from _tasks(tasks, problems)


def _tasks(tasks: list[TaskView], problems: Mapping[str, str]) -> Iterator[Finding]:
    sound = 0
    for task in tasks:
        problem = problems.get(task.id) or _problem_of_server(task.definition)
        sound += problem is None
        if problem is not None:
            yield Finding(f"task {task.id}", ok=False, detail=problem)
    yield Finding(
        "tasks", ok=sound == len(tasks), detail=f"{sound} of {len(tasks)} can be used, and their code imported"
    )


def _problem_of_server(task: TaskDefinition | None) -> str | None:
    graph = None if task is None else task.graph
    return _server_problem(graph) if graph is not None and is_server_url(graph) else None


@functools.cache
def _server_problem(graph: str) -> str | None:
    """Ask a server once, however many tasks have their graph there."""
    return asyncio.run(server_problem(graph))
