"""check: what would keep tasks from running."""

import importlib.metadata
import sys
import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from rich.text import Text

from scheduler import SchedulerError, StoreError, TaskDefinition, load_tasks
from scheduler.cli.checkpoints import VARIABLE
from scheduler.cli.errors import ExitCode, sentence
from scheduler.cli.findings import Finding, waiting_findings
from scheduler.cli.modules import default_graph, modules_of_working_directory, project_here, shadowing_module
from scheduler.cli.options import Db, DbUrl, Json, opened, store_arguments
from scheduler.cli.permissions import ProjectFiles, open_to_others
from scheduler.cli.project_graphs import ProjectGraphs, problem_on_server
from scheduler.cli.ui.output import console, show_json, show_table
from scheduler.errors import InvalidTaskError, ProjectFileError, StoreNotFoundError
from scheduler.graphs import check_task
from scheduler.langgraph_json import FILE
from scheduler.server_url import is_server_url
from scheduler.store import database_at

_RELEASED: Final = datetime(2025, 1, 1, tzinfo=UTC)
_SLACK: Final = timedelta(seconds=5)


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
            findings += [*_project(), *_graphs_and_tasks(graph, input_builder, _Places(db, db_url, tasks))]
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
    shadowing = shadowing_module()
    if shadowing is not None:
        yield Finding("modules", ok=False, detail=shadowing)
    project = project_here()
    if project is None:
        return
    project.environment()
    missing = [f"; {each}, which `dependencies` names, is not there" for each in project.missing_dependencies]
    if project.missing_env is not None:
        missing.append(f"; {project.missing_env.name}, which `env` names, is not there")
    yield Finding(FILE, ok=True, detail=f"its graphs: {', '.join(project.graphs) or 'none'}{''.join(missing)}")


@dataclass(frozen=True, slots=True)
class _Places:
    """Where tasks are."""

    db: Path | None
    db_url: str | None
    file: Path


_Tasks: TypeAlias = Mapping[str, tuple[TaskDefinition | None, str | None]]
"""Tasks by their ids, each with what is wrong with it already."""


def _graphs_and_tasks(graph: str | None, input_builder: str | None, places: _Places) -> Iterator[Finding]:
    """Look at graphs, and at the tasks of the store, or of the tasks file. Raises `ProjectFileError`."""
    project = project_here()
    default = graph or (default_graph() if project else None)
    names = [graph] if graph else project.python_graphs if project else []
    store, tasks = _store(places)
    file: list[Finding] = []
    title = "tasks"
    if tasks is None:
        file, tasks = _tasks_file(places.file)
        title = places.file.name
    definitions = [definition for definition, _ in tasks.values() if definition is not None]
    graphs = ProjectGraphs.looked_at(names, default, input_builder, definitions)
    if not names:
        yield Finding("graph", ok=True, detail="not looked at; name it with --graph")
    for name in names:
        problem, detail = graphs.report(name)
        yield Finding("graph" if graph else f"graph {name}", ok=problem is None, detail=problem or detail)
    yield from [*store, *file]
    if all(finding.ok for finding in (*store, *file) if finding.name in {"store", title}):
        yield from _tasks(tasks, graphs, title)


def _store(places: _Places) -> tuple[list[Finding], _Tasks | None]:
    """Look at the store; return its tasks, too, or None if there is no store."""
    try:
        with opened(places.db, places.db_url) as scheduler, console(stderr=True).status("tasks"):
            runs, schedulers = scheduler.list_runs(limit=1), scheduler.running_schedulers()
            with modules_of_working_directory():
                problems = scheduler.check_tasks()
            tasks = scheduler.task_views()
            waits = list(waiting_findings(scheduler, tasks, schedulers))
    except StoreNotFoundError as error:
        if places.file.exists():
            detail = f"there is none yet at {error.store}; the first start creates it"
            return [Finding("store", ok=True, detail=detail)], None
        return [Finding("store", ok=False, detail=sentence(error))], {}
    except ProjectFileError:
        raise
    except SchedulerError as error:
        return [Finding("store", ok=False, detail=sentence(error))], {}
    found = [Finding("store", ok=True, detail=f"its schema is known; {len(tasks)} tasks")]
    running = f"{schedulers} running" if schedulers else "none is running: nothing fires until one does"
    found += [Finding("schedulers", ok=True, detail=running), *waits]
    began = runs[0].started_at if runs else None
    if began is not None and began > datetime.now(UTC) + _SLACK:
        detail = f"the newest run began at {began.isoformat(' ', 'seconds')}: the clock was put back"
        found.append(Finding("history", ok=False, detail=detail))
    return found, {task.id: (task.definition, problems.get(task.id)) for task in tasks}


def _tasks_file(file: Path) -> tuple[list[Finding], _Tasks]:
    """Read the tasks that a store will have."""
    try:
        tasks = load_tasks(file)
    except SchedulerError as error:
        return [Finding(file.name, ok=False, detail=sentence(error))], {}
    with modules_of_working_directory():
        return [], {task.id: (task, _problem_of_code(task)) for task in tasks}


def _problem_of_code(task: TaskDefinition) -> str | None:
    try:
        check_task(task)
    except InvalidTaskError as error:
        return str(error)
    return None


def _tasks(tasks: _Tasks, graphs: ProjectGraphs, title: str) -> Iterator[Finding]:
    """Say which tasks cannot be used."""
    sound = 0
    for task_id, (task, known) in tasks.items():
        problem = known or _problem_of_server(task) or graphs.problem_of(task)
        sound += problem is None
        if problem is not None:
            yield Finding(f"task {task_id}", ok=False, detail=problem)
    detail = f"{sound} of {len(tasks)} can be used, and their code imported"
    yield Finding(title, ok=sound == len(tasks), detail=detail)


def _problem_of_server(task: TaskDefinition | None) -> str | None:
    graph = None if task is None else task.graph
    return problem_on_server(graph) if graph is not None and is_server_url(graph) else None
