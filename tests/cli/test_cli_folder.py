"""A file that somebody left in the working directory is not run by a command that has no business with it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import environment
from helpers import hourly

from scheduler import TaskScheduler

PLANTED = ("tomllib", "pygments", "rich", "psycopg", "tzdata", "json", "watchfiles", "sqlalchemy", "graph")
SCRIPT = str(Path(sys.executable).with_name("task-scheduler"))
TASKS = '[[task]]\nid = "a"\nname = "A"\ncron = "0 9 * * *"\nprompt = "Go."\n'
LEAVES_A_MARK = "import os, pathlib\npathlib.Path(os.environ['MARKS'], __name__).touch()\n"
GRAPH = """
class Graph:
    async def ainvoke(self, given, config=None):
        return given

graph = Graph()
"""
ADD = ("add", "--id", "a", "--prompt", "Go.", "--cron", "0 9 * * *")


@pytest.fixture
def folder(tmp_path):
    """A folder in which each planted module leaves a mark when it is imported."""
    place = tmp_path / "project"
    (tmp_path / "marks").mkdir()
    place.mkdir()
    for name in PLANTED:
        (place / f"{name}.py").write_text(LEAVES_A_MARK + (GRAPH if name == "graph" else ""))
    (place / "tasks.toml").write_text(TASKS.replace("cron =", "cron_expression ="))
    return place


def run(folder, *arguments, program=(SCRIPT,)):
    """Run a command, and return its exit code, its output, and which planted modules were imported."""
    marks = folder.parent / "marks"
    env = {**environment(), "MARKS": str(marks)}
    done = subprocess.run(
        [*program, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    found = sorted(mark.name for mark in marks.iterdir())
    shutil.rmtree(marks)
    marks.mkdir()
    return done.returncode, done.stdout + done.stderr, found


def add_a_task(folder):
    store = TaskScheduler(db_path=folder / "scheduler.db")
    store.add_task(hourly("a"))
    store.stop()


@pytest.mark.parametrize(
    "command",
    [
        ("--help",),
        ("apply", "--help"),
        ADD,
        ("apply", "tasks.toml"),
        ("list",),
        ("list", "--db-url", "postgresql+psycopg://localhost:1/x"),
        ("check",),
        ("next", "every day at 9am", "--timezone", "Nowhere/Atall"),
        ("export",),
        ("runs",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("program", [(SCRIPT,), (sys.executable, "-m", "scheduler")], ids=["script", "module"])
def test_no_planted_module_is_imported(folder, program, command):
    """Neither by the script nor by `python -m scheduler`."""
    if command[0] in {"list", "export", "runs", "check"}:
        add_a_task(folder)
    _, output, found = run(folder, *command, program=program)
    assert found == [], output


def test_what_loads_a_graph_finds_it_there(folder):
    """And nothing else: packages that are installed, and Python's own modules, come first."""
    _, output, found = run(folder, "check", "--graph", "graph:graph")
    assert found == ["graph"], output
    assert "graph:graph can be invoked" in output


def test_the_directory_is_left_out_if_python_is_told_so(folder):
    """`python -P`: its graph is not found then."""
    _, output, found = run(folder, "check", "--graph", "graph:graph", program=(sys.executable, "-P", "-m", "scheduler"))
    assert found == [], output


def test_an_installed_package_without_an_init_file_comes_first(folder):
    """`langgraph` has none; Python alone would prefer a module of that name in any place of the path."""
    (folder / "langgraph.py").write_text(LEAVES_A_MARK)
    (folder / "graph.py").write_text(f"import langgraph.graph\n{LEAVES_A_MARK}{GRAPH}")
    _, output, found = run(folder, "check", "--graph", "graph:graph")
    assert found == ["graph"], output
