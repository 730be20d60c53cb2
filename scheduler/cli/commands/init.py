"""init: a scheduler for an existing project, from a few questions."""

import json
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.text import Text

from scheduler import TaskDefinition, TaskType, load_tasks
from scheduler._arguments import check_zone
from scheduler._texts import escaped_lines
from scheduler.cli.errors import CommandError, ExitCode, sentence
from scheduler.cli.modules import project_here, shadowing_module, without_python
from scheduler.cli.options import Json
from scheduler.cli.project import (
    PROGRAM_FILE,
    PROJECT_FILE,
    TASKS_FILE,
    Lines,
    find_graphs,
    find_graphs_in,
    lines_for_dependencies,
    lines_for_program,
    program,
    toml_task,
)
from scheduler.cli.project_graphs import look_at
from scheduler.cli.ui.asking import agrees, ask, choose
from scheduler.cli.ui.output import console, fail, note, say, show_json
from scheduler.graph_names import DEFAULT_GRAPH
from scheduler.graphs.trial import SeenGraph
from scheduler.phrases import is_relative
from scheduler.schedule_texts import schedule_fields

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
_EXAMPLE_PROMPT: Final = "Say what this task is for."
_EXAMPLE_CONTEXT: Final = "example"
"""What stands for each text in a context that the graph needs."""
_WORDS_IN_ID: Final = 4


class NewTask(NamedTuple):
    """A task as it is asked for."""

    words: str
    prompt: str
    input: dict[str, Any] | None = None
    """What the graph gets in place of the prompt."""
    context: dict[str, Any] | None = None
    has_examples: bool = False
    """Whether the input or the context was made up."""

    @property
    def feed(self) -> dict[str, Any]:
        """The fields of the task that say what the graph gets."""
        fields = {"prompt": self.prompt} if self.input is None else {"input": self.input}
        return fields if self.context is None else {**fields, "context": self.context}


class Program(NamedTuple):
    """What main.py is to have."""

    graph: str
    persistent: bool
    saver: bool


def fed_by(task: NewTask, seen: SeenGraph | str) -> NewTask:
    """Return a task with the input and the context that its graph needs, if it takes no prompt.

    What was given as its prompt is the input if it is a JSON object; else it is the text in an example of one.
    """
    if isinstance(seen, str):
        return task
    context = seen.example_context(_EXAMPLE_CONTEXT) or None
    if seen.takes_prompts:
        return task._replace(context=context, has_examples=context is not None)
    try:
        given = json.loads(task.prompt)
    except ValueError:
        given = None
    is_given = isinstance(given, dict)
    made = given if is_given else seen.example_input(task.prompt)
    return task._replace(input=made, context=context, has_examples=not is_given or context is not None)


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
            "--graph",
            metavar="GRAPH",
            help="Use this graph; default: that of langgraph.json, or the one that a module here compiles.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; use defaults for what is not given.")] = False,
    as_json: Json = False,
) -> None:
    """Add a scheduler to the project in this directory: tasks.toml and main.py. Existing files are never changed.

    It asks for what you do not give as an option: kinds of tasks, whether to keep them on disk, and first tasks.
    """
    first = [_given(text) for text in tasks or []]
    if timezone is not None:
        check_zone(timezone)
    for file in (TASKS_FILE, PROGRAM_FILE):
        _refuse_link(file)
    graph = graph or _chosen_graph(asks=not yes)
    with redirect_stdout(sys.stderr):
        seen = look_at(graph)
    if not yes:
        if isinstance(seen, str):
            note(f"{graph} cannot be used yet: {seen}")
        kinds = kinds or _ask_kinds() if not first else kinds
        persist = agrees("Keep tasks and history in scheduler.db?", default=True) if persist is None else persist
        timezone = timezone or _ask_zone()
        first = first or [_ask_task(kind, timezone, seen) for kind in kinds or [TaskType.CRON]]
    elif not first:
        first = [NewTask(_EXAMPLES[kind], _EXAMPLE_PROMPT) for kind in kinds or [TaskType.CRON]]
    first = [fed_by(task, seen) for task in first]
    for task in first:
        _check(task, timezone, seen)
    saver = persist is not False and isinstance(seen, SeenGraph) and seen.takes_saver
    written, lines = _write(first, timezone, Program(graph, persistent=persist is not False, saver=saver))
    if any(task.has_examples for task in first):
        note(f"{TASKS_FILE} has examples of what the graph takes; put your own values in their place.")
    problem = seen if isinstance(seen, str) else shadowing_module()
    if as_json:
        shown = [asdict(each) for each in lines]
        show_json({"graph": graph, "problem": problem, "written": written, "lines": shown})
    else:
        _tell(graph, written, lines, can_start=problem is None)
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


def _ask_zone() -> str:
    while True:
        zone = ask("Time zone", "UTC")
        try:
            check_zone(zone)
        except ValueError as error:
            fail(sentence(error))
        else:
            return zone


def _ask_task(kind: TaskType, timezone: str, seen: SeenGraph | str) -> NewTask:
    note(f"A first task that runs {_ASKED_AS.get(kind, 'by a recurrence rule')}.")
    while True:
        task = fed_by(NewTask(ask("  When", _EXAMPLES[kind]), _ask_words(seen)), seen)
        try:
            _check(task, timezone, seen)
        except (ValueError, CommandError) as error:
            fail(sentence(error))
        else:
            return task


def _ask_words(seen: SeenGraph | str) -> str:
    """Ask for a prompt, or for the input of a graph that takes no messages."""
    if isinstance(seen, str) or seen.takes_prompts:
        return ask("  Prompt")
    return ask("  Input, as JSON", json.dumps(seen.example_input("Say what this task is for.")))


def _check(task: NewTask, timezone: str | None, seen: SeenGraph | str) -> None:
    """Build what a tasks file will hold, and see whether the graph takes it. Raises `ValueError`, `CommandError`."""
    if is_relative(task.words):
        raise CommandError(f"{task.words!r} depends on when it is read; in a file, name the date", ExitCode.USAGE)
    fields = schedule_fields(task.words, timezone)
    definition = TaskDefinition(id="task", name="task", **task.feed, **fields)
    problem = seen.problem_of(definition) if isinstance(seen, SeenGraph) else None
    if problem is not None:
        raise CommandError(f"{task.words!r}: {problem}", ExitCode.USAGE)


def _chosen_graph(*, asks: bool) -> str:
    """Return the graph of langgraph.json, of graph.py, or of another module; ask if there are several."""
    project = project_here()
    if project is not None and not project.python_graphs:
        raise CommandError(without_python(project))
    if project is not None:
        return _one_of(project.python_graphs, f"{project.file.name} names", asks=asks)
    found = find_graphs()
    if found:
        return f"graph:{_one_of(found, 'graph.py compiles', asks=asks)}"
    return _one_of(find_graphs_in(Path()), "the modules here compile", asks=asks)


def _one_of(found: Sequence[str], whose: str, *, asks: bool) -> str:
    if not found:
        note(f"{whose} no graph that could be found; {DEFAULT_GRAPH} is taken. Name yours with --graph.")
        return DEFAULT_GRAPH
    if len(found) > 1 and asks:
        return choose(f"Which graph: {', '.join(found)}?", found)
    if len(found) > 1:
        note(f"{whose} {', '.join(found)}; {found[0]} is taken. Name another with --graph.")
    return found[0]


def _write(tasks: Sequence[NewTask], timezone: str | None, new: Program) -> tuple[list[str], list[Lines]]:
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
        lines += lines_for_program(source, new.graph, persistent=new.persistent)
    else:
        text = program(new.graph, persistent=new.persistent, saver=new.saver)
        PROGRAM_FILE.write_text(text, encoding="utf-8")
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
    tables = [toml_task(_new_id(task.prompt, taken), task.words, timezone, task.feed) for task in tasks]
    return "\n".join([_DEFAULTS, *tables])


_DEFAULTS: Final = """\
[defaults]
timeout_seconds = 600  # an attempt that takes longer is cancelled; a task may set another time
"""


def _new_id(prompt: str, taken: set[str]) -> str:
    words = re.findall(r"[a-z0-9]+", prompt.lower())[:_WORDS_IN_ID]
    stem = "-".join(words) or "task"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name


def _tell(graph: str, written: Sequence[str], lines: Sequence[Lines], *, can_start: bool) -> None:
    say(f"Graph: {graph}")
    for file in written:
        say(f"Wrote {file}")
    people = console()
    for each in lines:
        people.print(Text(f"\n{each.file} exists and was not changed. {_where(each)}:"), soft_wrap=True)
        people.print(Text(escaped_lines(each.text.rstrip("\n")), "green"), soft_wrap=True)
    if can_start and str(PROGRAM_FILE) in {each.file for each in lines}:
        people.print(Text(f"\nOr leave {PROGRAM_FILE} as it is, and start it with:"), soft_wrap=True)
        say(f"task-scheduler serve --tasks {TASKS_FILE} --graph {shlex.quote(graph)}")
    elif can_start and not lines:
        say(f"Start it with: python {PROGRAM_FILE}")


def _where(lines: Lines) -> str:
    if lines.replaces:
        return f"In place of line {lines.after + 1}, write"
    return f"After line {lines.after}, add" if lines.after else "At its top, add"
