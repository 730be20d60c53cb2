"""What `init` asks, finds and says, beyond the projects in which all is well."""

import json
import tomllib

import pytest
from typer.testing import CliRunner

from scheduler.cli import app
from scheduler.cli.project import find_graphs, find_graphs_in, program

ECHO = "from helpers import EchoGraph\nclass Maker:\n    compile = EchoGraph\ngraph = Maker().compile()\n"
TOPIC = """
from dataclasses import dataclass
from langgraph.graph import START, StateGraph

@dataclass
class Input:
    topic: str
    depth: int

graph = StateGraph(Input).add_node("n", print).add_edge(START, "n").compile()
"""


def init(*arguments, code=0, given=None):
    result = CliRunner().invoke(app, ["init", *arguments], input=given, prog_name="task-scheduler")
    assert result.exit_code == code, (result.output, result.exception)
    return result


def two_graphs(folder):
    (folder / "bots.py").write_text(ECHO + "other = graph\n")
    content = {"graphs": {"first": "./bots.py:graph", "second": "./bots.py:other"}}
    (folder / "langgraph.json").write_text(json.dumps(content))


def test_it_asks_which_graph(folder):
    """First of all, and again if there is no such graph."""
    two_graphs(folder)
    asked = init("--task", "every hour=Go.", given="third\nsecond\ny\nUTC\n")
    assert "Which graph: first, second? [first]: Answer one of: first, second." in asked.stderr
    assert 'graph="second"' in (folder / "main.py").read_text()


def test_it_does_not_ask(folder):
    """With `--yes` it takes the first one, and says so."""
    two_graphs(folder)
    assert "langgraph.json names first, second; first is taken. Name another with --graph." in init("--yes").stderr


def test_a_zone_that_there_is_not(folder):
    """It asks once more, and not only when all tasks have been asked for."""
    (folder / "graph.py").write_text(ECHO)
    asked = init(given="y\nn\nn\ny\nMars/Base\nEurope/Berlin\nevery hour\nGo.\n")
    assert asked.stderr.count("Time zone [UTC]:") == 2
    assert 'timezone = "Europe/Berlin"' in (folder / "tasks.toml").read_text()
    (folder / "tasks.toml").unlink()
    assert "Mars/Base" in init("--yes", "--timezone", "Mars/Base", code=2).stderr
    assert not (folder / "tasks.toml").exists()


def test_it_asks_for_an_input(folder):
    """In place of a prompt, with an example, until the graph takes what is given."""
    (folder / "graph.py").write_text(TOPIC)
    answers = 'every hour\n{"topic": "tea"}\nevery hour\n{"topic": "tea", "depth": 2}\n'
    asked = init(given=f"y\nn\nn\ny\nUTC\n{answers}")
    assert """Input, as JSON [{"topic": "Say what this task is for.", "depth": 1}]:""" in asked.stderr
    assert "the graph's input schema refuses it: " in asked.stderr
    [task] = tomllib.loads((folder / "tasks.toml").read_text())["task"]
    assert task["input"] == {"topic": "tea", "depth": 2}
    assert "has examples" not in asked.stderr
    (folder / "tasks.toml").unlink()
    assert "tasks.toml has examples of what the graph takes; put your own values in" in init("--yes").stderr


def test_a_graph_that_cannot_be_loaded(folder):
    """It says so before it asks, writes the files, and does not say how to start them."""
    (folder / "graph.py").write_text("raise LookupError('no key')\ngraph = b.compile()\n")
    asked = init(given="y\nn\nn\ny\nUTC\nevery hour\nGo.\n", code=1)
    assert asked.stderr.index("raised LookupError: no key") < asked.stderr.index("Tasks that run")
    assert "Wrote main.py" in asked.stdout
    assert "Start it with" not in asked.stdout


@pytest.mark.parametrize("path", ["scheduler.py", "scheduler/__init__.py"])
def test_a_module_that_has_the_name_of_the_package(folder, path):
    """`init` and `check` say that it hides the package."""
    (folder / "graph.py").write_text(ECHO)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).touch()
    said = init("--yes", code=1)
    name = path.partition("/")[0]
    assert f"error: {name} has the name of this package, and programs there import it in place of" in said.stderr
    assert "Start it with" not in said.stdout
    checked = CliRunner().invoke(app, ["check", "--graph", "graph:graph"])
    assert checked.exit_code == 1
    assert f"{name} has the name of this package" in checked.stdout


def test_a_package_in_src_that_has_the_name(folder):
    """It is on the path through langgraph.json, and its own modules would find this package in its place."""
    two_graphs(folder)
    (folder / "src/scheduler").mkdir(parents=True)
    (folder / "src/scheduler/__init__.py").touch()
    assert "src/scheduler has the name of this package" in init("--yes", code=1).stderr


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def make():\n    return b.compile()", ["make"]),
        ("async def make(config):\n    g = b.compile()\n    return g", ["make"]),
        ("@asynccontextmanager\nasync def make(runtime, model='x'):\n    yield create_agent(m)", ["make"]),
        ("def make(model):\n    return b.compile()", []),
        ("def make(*, model):\n    return b.compile()", []),
        ("def make():\n    return b", []),
        ("def _make():\n    return b.compile()", []),
        ("graph = b.compile()\ndef make():\n    return b.compile()", ["graph"]),
        ("@entrypoint()\nasync def flow(given):\n    return given", ["flow"]),
        ("@langgraph.func.entrypoint(checkpointer=s)\ndef flow(given):\n    return given", ["flow"]),
        ("@task\ndef step(given):\n    return given", []),
    ],
)
def test_functions_are_found(folder, source, names):
    """Those that return a graph and can be called, where nothing is compiled at the top; and functional graphs."""
    (folder / "graph.py").write_text(source)
    assert find_graphs() == names


def test_modules_are_looked_through(folder):
    """Without running them, those near the top first; not tests, environments, and what is hidden."""
    found = ["agent.py", "app/agent.py", "src/deep/er/agent.py"]
    passed_over = [
        "tests/agent.py",
        "test_agent.py",
        ".hidden/agent.py",
        "env3/agent.py",
        "docs/agent.py",
        "a/b/c/d/e/f.py",
    ]
    for path in [*found, *passed_over]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("graph = b.compile()\nraise SystemExit\n")
    (folder / "env3/pyvenv.cfg").touch()
    assert find_graphs_in(folder) == [f"./{path}:graph" for path in found]


def test_the_name_of_a_graph_in_a_program():
    """Is a Python text, whatever it is."""
    source = program('a"b\\', persistent=False, saver=True)
    compile(source, "main.py", "exec")
    assert r'TaskScheduler(persistent=False, graph="a\"b\\", freeze_gc=True, checkpointer=saver)' in source
