"""init: a scheduler for an existing project, from a few questions."""

import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.text import Text

from scheduler import TaskDefinition, TaskType, load_tasks
from scheduler._texts import escaped_lines
from scheduler.cli.commands.check import graph_problem
from scheduler.cli.errors import CommandError, ExitCode, sentence
from scheduler.cli.options import Json
from scheduler.cli.project import (
    PROGRAM_FILE,
    PROJECT_FILE,
    TASKS_FILE,
    Lines,
    find_graphs,
    lines_for_dependencies,
    lines_for_program,
    program,
    toml_task,
)
from scheduler.cli.schedule_options import schedule_fields
from scheduler.cli.ui.asking import agrees, ask
from scheduler.cli.ui.output import console, fail, note, say, show_json
from scheduler.phrases import is_relative

_DEFAULT_GRAPH: Final = "graph:graph"
_EXAMPLES: Final = {
    TaskType.CRON: "every day at 9am",
    TaskType.INTERVAL: "every 90 minutes",
    TaskType.ONE_TIME: "at 2030-01-01 09:00",
    TaskType.RRULE: "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9",
}
_ASKED_AS: Final = {
    TaskType.CRON: "at a time of the day",
    TaskType.INTERVAL: "every so often",
    TaskType.ONE_TIME: "once",
}
_WORDS_IN_ID: Final = 4


class NewTask(NamedTuple):
    """A task as it is asked for."""

    words: str
    prompt: str


def init(
    kinds: Annotated[
        list[TaskType] | None,
        typer.Option("--kind", metavar="KIND", help=f"Add a kind of task: {', '.join(TaskType)}; can be repeated."),
    ] = None,
    persist: Annotated[
        bool | None, typer.Option("--persist/--no-persist", help="Keep the tasks in scheduler.db, or in memory.")
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", metavar="WORDS=PROMPT", help="Add a first task; can be repeated.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="Set the IANA zone of the tasks.")
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph", metavar="MODULE:ATTRIBUTE", help="Use this graph; default: the one that graph.py compiles."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; use defaults for what is not given.")] = False,
    as_json: Json = False,
) -> None:
    """Add a scheduler to the project in this directory: tasks.toml and main.py. Existing files are never changed.

    It asks for what you do not give as an option: kinds of tasks, whether to keep them on disk, and first tasks.
    """
    first = [_given(text) for text in tasks or []]
    if not yes:
        kinds = kinds or _ask_kinds() if not first else kinds
        persist = agrees("Keep tasks and history in scheduler.db?", default=True) if persist is None else persist
        timezone = timezone or ask("Time zone", "UTC")
        first = first or [_ask_task(kind, timezone) for kind in kinds or [TaskType.CRON]]
    elif not first:
        first = [NewTask(_EXAMPLES[kind], "Say what this task is for.") for kind in kinds or [TaskType.CRON]]
    for task in first:
        _definition("task", task, timezone)
    graph = graph or _found_graph()
    with redirect_stdout(sys.stderr):
        problem = graph_problem(graph)
    written, lines = _write(first, timezone, graph, persistent=persist is not False)
    if as_json:
        shown = [asdict(each) for each in lines]
        show_json({"graph": graph, "problem": problem, "written": written, "lines": shown})
    else:
        _tell(graph, written, lines)
    if problem is not None:
        fail(problem)
        raise typer.Exit(ExitCode.FAILED)


def _given(text: str) -> NewTask:
    words, equals, prompt = text.partition("=")
    if not (equals and words.strip() and prompt.strip()):
        raise CommandError(f"--task {text!r}: give WORDS=PROMPT", ExitCode.USAGE)
    return NewTask(words.strip(), prompt.strip())


def _ask_kinds() -> list[TaskType]:
    likely = TaskType.CRON
    asked = [kind for kind, how in _ASKED_AS.items() if agrees(f"Tasks that run {how}?", default=kind is likely)]
    return asked or [TaskType.CRON]


def _ask_task(kind: TaskType, timezone: str) -> NewTask:
    note(f"A first task that runs {_ASKED_AS.get(kind, 'by a recurrence rule')}.")
    while True:
        task = NewTask(ask("  When", _EXAMPLES[kind]), ask("  Prompt"))
        try:
            _definition("task", task, timezone)
        except (ValueError, CommandError) as error:
            fail(sentence(error))
        else:
            return task


def _definition(task_id: str, task: NewTask, timezone: str | None) -> TaskDefinition:
    """Return what a task file will hold. Raises `ValueError`, `CommandError`."""
    if is_relative(task.words):
        raise CommandError(f"{task.words!r} depends on when it is read; in a file, name the date", ExitCode.USAGE)
    fields = schedule_fields(task.words, timezone)
    return TaskDefinition(id=task_id, name=task_id, prompt=task.prompt, **fields)


def _found_graph() -> str:
    found = find_graphs()
    if not found:
        note(f"graph.py compiles no graph that could be found; {_DEFAULT_GRAPH} is taken. Name yours with --graph.")
        return _DEFAULT_GRAPH
    if len(found) > 1:
        note(f"graph.py compiles {', '.join(found)}; {found[0]} is taken. Name another with --graph.")
    return f"graph:{found[0]}"


def _write(
    tasks: Sequence[NewTask], timezone: str | None, graph: str, *, persistent: bool
) -> tuple[list[str], list[Lines]]:
    for file in (TASKS_FILE, PROGRAM_FILE):
        _refuse_link(file)
    written: list[str] = []
    lines: list[Lines] = []
    text = _tasks_text(tasks, timezone)
    if TASKS_FILE.exists():
        lines.append(Lines(str(TASKS_FILE), _length(TASKS_FILE), f"\n{text}"))
    else:
        TASKS_FILE.write_text(text, encoding="utf-8")
        load_tasks(TASKS_FILE)
        written.append(str(TASKS_FILE))
    if PROGRAM_FILE.exists():
        source = PROGRAM_FILE.read_text(encoding="utf-8")
        lines += lines_for_program(source, graph, persistent=persistent)
    else:
        PROGRAM_FILE.write_text(program(graph, persistent=persistent), encoding="utf-8")
        written.append(str(PROGRAM_FILE))
    if PROJECT_FILE.exists():
        lines += lines_for_dependencies(PROJECT_FILE.read_text(encoding="utf-8"))
    return written, lines


def _refuse_link(file: Path) -> None:
    """Raise `CommandError` for a link that leads to no file: whoever put it there would choose what is created."""
    if file.is_symlink() and not file.exists():
        raise CommandError(f"{file} is a link that leads to no file; remove it, and try again; nothing was written")


def _length(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def _tasks_text(tasks: Sequence[NewTask], timezone: str | None) -> str:
    taken: set[str] = set()
    tables = [toml_task(_new_id(task.prompt, taken), task.words, task.prompt, timezone) for task in tasks]
    return "\n".join(tables)


def _new_id(prompt: str, taken: set[str]) -> str:
    words = re.findall(r"[a-z0-9]+", prompt.lower())[:_WORDS_IN_ID]
    stem = "-".join(words) or "task"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name


def _tell(graph: str, written: Sequence[str], lines: Sequence[Lines]) -> None:
    say(f"Graph: {graph}")
    for file in written:
        say(f"Wrote {file}")
    people = console()
    for each in lines:
        people.print(Text(f"\n{each.file} exists and was not changed. {_where(each)}:"), soft_wrap=True)
        people.print(Text(escaped_lines(each.text.rstrip("\n")), "green"), soft_wrap=True)
    if not lines:
        say("Start it with: python main.py")


def _where(lines: Lines) -> str:
    if lines.replaces:
        return f"In place of line {lines.after + 1}, write"
    return f"After line {lines.after}, add" if lines.after else "At its top, add"
