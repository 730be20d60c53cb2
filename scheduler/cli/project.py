"""A project that gets a scheduler: where its graph is, the files it needs, and the lines for those it has."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler._toml import quoted

GRAPH_FILE: Final = Path("graph.py")
TASKS_FILE: Final = Path("tasks.toml")
PROGRAM_FILE: Final = Path("main.py")
PROJECT_FILE: Final = Path("pyproject.toml")
REQUIREMENT: Final = "langgraph-task-scheduler"

_MAKERS: Final = frozenset({"compile", "create_agent", "create_react_agent"})
_USUAL: Final = ("graph", "app", "agent")
_SECTION: Final = re.compile(r"^\[project\][^\n]*\n?(?:(?!\[)[^\n]*\n?)*", re.MULTILINE)
_DEPENDENCIES: Final = re.compile(r"^dependencies\s*=\s*\[(?P<rest>.*)$", re.MULTILINE)
_ON_ONE_LINE: Final = re.compile(r"(?P<items>[^#]*?),?\s*\](?P<end>\s*(?:#.*)?)")


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines to add to a file that is there already."""

    file: str
    after: int
    """The number of the line behind which they belong."""
    text: str
    replaces: int = 0
    """How many lines behind that one they take the place of."""


def find_graphs(file: Path = GRAPH_FILE) -> list[str]:
    """Return the names in a module that hold a compiled graph, the likeliest first, without running the module."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    names = [name for statement in tree.body for name in _assigned(statement)]
    return sorted(dict.fromkeys(names), key=lambda name: _USUAL.index(name) if name in _USUAL else len(_USUAL))


def _assigned(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and _makes_graph(statement.value):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _makes_graph(value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call):
        return False
    function = value.func
    if isinstance(function, ast.Attribute):
        return function.attr in _MAKERS or _makes_graph(function.value)  # builder.compile().with_config(…)
    return isinstance(function, ast.Name) and function.id in _MAKERS


def toml_task(task_id: str, words: str, prompt: str, timezone: str | None) -> str:
    """Return a task as a table of a tasks file."""
    fields = {"id": task_id, "name": task_id.replace("-", " ").capitalize(), "schedule": words, "timezone": timezone}
    lines = [f"{name} = {quoted(value)}" for name, value in [*fields.items(), ("prompt", prompt)] if value]
    return "\n".join(["[[task]]", *lines]) + "\n"


def program(graph: str, *, persistent: bool) -> str:
    """Return a program that runs a scheduler from its start to its end."""
    arguments = f"graph={graph!r}, freeze_gc=True".replace("'", '"')
    if not persistent:
        arguments = f"persistent=False, {arguments}"
    return _PROGRAM.format(arguments=arguments)


_PROGRAM: Final = '''\
"""Runs the tasks of tasks.toml until Ctrl+C."""

import asyncio
import logging
from pathlib import Path

from scheduler import TaskScheduler, run_until_signal

TASKS = Path(__file__).with_name("tasks.toml")


async def main() -> None:
    scheduler = TaskScheduler({arguments})
    await run_until_signal(scheduler, TASKS)  # applies the file and its edits; running graphs may end after Ctrl+C


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
'''


_IMPORTS_FOR_COROUTINE: Final = """\
from pathlib import Path

from scheduler import TaskScheduler, load_tasks
from scheduler.tasks_file import source_of

TASKS = Path(__file__).with_name("tasks.toml")
"""


def lines_for_program(source: str, graph: str, *, persistent: bool) -> list[Lines]:
    """Return what an existing program needs: imports, a start in its coroutine, a stop at the coroutine's end."""
    made = program(graph, persistent=persistent)
    (constructor,) = re.findall(r"TaskScheduler\(.*\)", made)
    constructor = constructor.replace(", freeze_gc=True", "")  # a setting of the process, which is not ours here
    file = str(PROGRAM_FILE)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return [Lines(file, 0, made)]
    if any(isinstance(node, ast.Name) and node.id == "TaskScheduler" for node in ast.walk(tree)):
        return []  # it has one
    imports, rest = made.split("\n\n\n", 1)
    imports = imports.partition("\n\n")[2] + "\n"  # without the docstring
    coroutine = _coroutine(tree)
    if coroutine is not None:
        imports = _IMPORTS_FOR_COROUTINE
        return [Lines(file, _after_imports(tree), imports), *_lines_for_coroutine(file, coroutine, constructor)]
    program_of_its_own = "\n\n" + rest.replace("main()", "run_tasks()")
    return [
        Lines(file, _after_imports(tree), imports),
        Lines(file, len(source.splitlines()), program_of_its_own),
    ]


def _lines_for_coroutine(file: str, coroutine: ast.AsyncFunctionDef, constructor: str) -> list[Lines]:
    indent = " " * coroutine.body[0].col_offset
    start = [
        f"scheduler = {constructor}",
        "scheduler.apply_tasks(load_tasks(TASKS), source=source_of(TASKS), prune=True)",
        "scheduler.start()",
    ]
    stop = ["await scheduler.stop()  # in a `finally`, so that running graphs may end whatever happens"]
    first = coroutine.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    begin = (first.end_lineno or first.lineno) if is_docstring else first.lineno - 1
    end = coroutine.end_lineno or coroutine.lineno
    return [
        Lines(file, line, "".join(f"{indent}{each}\n" for each in texts))
        for line, texts in ((begin, start), (end, stop))
    ]


def _after_imports(tree: ast.Module) -> int:
    imports = [node.end_lineno or 0 for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    first = tree.body[0] if tree.body else None
    docstring = first.end_lineno or 0 if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) else 0
    return max(imports, default=docstring)


def _coroutine(tree: ast.Module) -> ast.AsyncFunctionDef | None:
    """Return the coroutine that is the program: the one given to `asyncio.run`, else `main`."""
    coroutines = {node.name: node for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"asyncio.run", "run", "anyio.run"} and node.args:
            name = ast.unparse(node.args[0]).partition("(")[0]
            if name in coroutines:
                return coroutines[name]
    return coroutines.get("main")


def lines_for_dependencies(source: str) -> list[Lines]:
    """Return what an existing pyproject.toml needs; nothing if it has it."""
    if re.search(rf"[\"']{REQUIREMENT}\b", source):
        return []
    section = _SECTION.search(source)
    if section is None:
        return [Lines(str(PROJECT_FILE), len(source.splitlines()), f'\n[project]\ndependencies = ["{REQUIREMENT}"]\n')]
    found = _DEPENDENCIES.search(source, section.start(), section.end())
    if found is None:
        after = source.count("\n", 0, section.start()) + 1
        return [Lines(str(PROJECT_FILE), after, f'dependencies = ["{REQUIREMENT}"]\n')]
    line = source.count("\n", 0, found.start()) + 1
    if one := _ON_ONE_LINE.fullmatch(found["rest"]):
        items = ", ".join([*filter(None, [one["items"].strip()]), f'"{REQUIREMENT}"'])
        return [Lines(str(PROJECT_FILE), line - 1, f"dependencies = [{items}]{one['end']}\n", replaces=1)]
    return [Lines(str(PROJECT_FILE), line, f'    "{REQUIREMENT}",\n')]
