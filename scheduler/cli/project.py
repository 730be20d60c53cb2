"""A project that gets a scheduler: where its graph is, the files it needs, and the lines for those it has."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeGuard

from scheduler._toml import quoted, written

GRAPH_FILE: Final = Path("graph.py")
TASKS_FILE: Final = Path("tasks.toml")
PROGRAM_FILE: Final = Path("main.py")
PROJECT_FILE: Final = Path("pyproject.toml")
REQUIREMENT: Final = "langgraph-task-scheduler"

_MAKERS: Final = frozenset({"compile", "create_agent", "create_deep_agent", "create_react_agent"})
_USUAL: Final = ("graph", "app", "agent")
_DEEPEST: Final = 4
_MOST_FILES: Final = 1000
"""So many modules are looked at, in so many folders inside one another."""
_NOT_LOOKED_AT: Final = frozenset({"build", "dist", "docs", "env", "examples", "node_modules", "site-packages", "venv"})
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
    """Return the names in a module that hold a compiled graph, the likeliest first, without running the module.

    If there is none, these are the functions that return one and need no arguments.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    names = [name for statement in tree.body for name in _assigned(statement)]
    names = names or [each.name for each in tree.body if _is_factory(each)]
    return sorted(dict.fromkeys(names), key=lambda name: _USUAL.index(name) if name in _USUAL else len(_USUAL))


def find_graphs_in(folder: Path) -> list[str]:
    """Return the graphs that modules in a folder compile, as `./path.py:name`, without running any of them.

    Folders of folders are looked at, such as `src/agent`; tests, hidden folders and environments are not.
    """
    files = sorted(islice(_modules_in(folder, _DEEPEST), _MOST_FILES), key=lambda file: (len(file.parts), file))
    return [f"./{file.relative_to(folder).as_posix()}:{name}" for file in files for name in find_graphs(file)]


def _modules_in(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith((".", "test")) or entry.name in _NOT_LOOKED_AT or (entry / "pyvenv.cfg").exists():
            continue
        if entry.suffix == ".py" and entry.is_file():
            yield entry
        elif depth and entry.is_dir() and not entry.is_symlink():
            yield from _modules_in(entry, depth - 1)


def _assigned(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and _makes_graph(statement.value):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        calls = [each.func if isinstance(each, ast.Call) else each for each in statement.decorator_list]
        if any(ast.unparse(each).endswith("entrypoint") for each in calls):
            yield statement.name


def _is_factory(statement: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) or statement.name.startswith("_"):
        return False
    given = statement.args
    required = [*given.posonlyargs, *given.args][: len(given.posonlyargs) + len(given.args) - len(given.defaults)]
    if any(each.arg not in {"config", "runtime"} for each in required) or None in given.kw_defaults:
        return False
    ends = [each.value for each in ast.walk(statement) if isinstance(each, ast.Return | ast.Yield)]
    assigned = {name for each in ast.walk(statement) if isinstance(each, ast.stmt) for name in _assigned(each)}
    return any(_makes_graph(end) or (isinstance(end, ast.Name) and end.id in assigned) for end in ends)


def _makes_graph(value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call):
        return False
    function = value.func
    if isinstance(function, ast.Attribute):
        return function.attr in _MAKERS or _makes_graph(function.value)  # builder.compile().with_config(…)
    return isinstance(function, ast.Name) and function.id in _MAKERS


def toml_task(task_id: str, words: str, timezone: str | None, feed: Mapping[str, Any]) -> str:
    """Return a task as a table of a tasks file; `feed` has the fields that say what the graph gets."""
    fields = {"id": task_id, "name": task_id.replace("-", " ").capitalize(), "schedule": words, "timezone": timezone}
    given = {name: value for name, value in {**fields, **feed}.items() if value is not None}
    lines = [f"{name} = {written(value, inline=True)}" for name, value in given.items()]
    return "\n".join(["[[task]]", *lines]) + "\n"


def program(graph: str, *, persistent: bool, saver: bool = False) -> str:
    """Return a program that runs a scheduler from its start to its end; with `saver`, one that keeps conversations."""
    arguments = f"graph={quoted(graph)}, freeze_gc=True"
    if not persistent:
        arguments = f"persistent=False, {arguments}"
    if not saver:
        return _PROGRAM.format(arguments=arguments)
    return _PROGRAM_WITH_SAVER.format(arguments=f"{arguments}, checkpointer=saver")


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


_PROGRAM_WITH_SAVER: Final = '''\
"""Runs the tasks of tasks.toml until Ctrl+C."""

import asyncio
import logging
import os
from pathlib import Path

os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # read at the import: checkpoints bring back known types only

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from scheduler import TaskScheduler, run_until_signal

TASKS = Path(__file__).with_name("tasks.toml")
CHECKPOINTS = Path("scheduler.checkpoints.db")  # the conversations, kept by LangGraph


async def main() -> None:
    CHECKPOINTS.touch(0o600)  # for this user alone
    async with AsyncSqliteSaver.from_conn_string(str(CHECKPOINTS)) as saver:
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
    """Return what an existing program needs: imports, a start in its coroutine, a stop at the coroutine's end.

    Conversations are not kept: what the program has of its own, such as a saver, is for its author to pass.
    """
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
