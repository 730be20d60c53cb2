"""`check` and `serve` in projects with a langgraph.json, inside the test: what they import is forgotten afterwards."""

import json
import sys

import pytest
from typer.testing import CliRunner

from scheduler.cli import app

ECHO = "import os\nfrom helpers import EchoGraph\nos.environ['FOR_THE_AGENT']\ngraph = EchoGraph()\n"


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(arguments), prog_name="task-scheduler", env={"SCHEDULER_DB": None})
    assert result.exit_code == code, (result.output, result.exception)
    return result


def found(*arguments, code=1):
    """Return what `check` found, by name."""
    return {each["name"]: each for each in json.loads(run("check", "--json", *arguments, code=code).stdout)["checks"]}


@pytest.fixture
def project(folder):
    """Return a project with two graphs, and its langgraph.json as a dict to change."""
    (folder / "src/agent").mkdir(parents=True)
    (folder / "src/agent/graph.py").write_text(ECHO)
    content = {
        "graphs": {"agent": "./src/agent/graph.py:graph", "broken": "./src/agent/graph.py:nothing"},
        "dependencies": [".", "./gone"],
        "env": {"FOR_THE_AGENT": "1"},
    }
    (folder / "langgraph.json").write_text(json.dumps(content))
    return folder, content


def test_check_looks_at_all_graphs(project):
    """And at the folders and the file of variables that langgraph.json names."""
    folder, content = project
    checks = found()
    assert checks["graph agent"] == {"name": "graph agent", "ok": True, "detail": "agent can be invoked"}
    assert not checks["graph broken"]["ok"]
    assert "has no nothing; name the variable" in checks["graph broken"]["detail"]
    assert "graph" not in checks
    (folder / "langgraph.json").write_text(json.dumps({**content, "env": ".env"}))
    lines = run("check", code=1).stdout
    missing = "; ./gone, which `dependencies` names, is not there; .env, which `env` names, is not there\n"
    assert f"its graphs: agent, broken{missing}" in lines


def test_check_makes_a_graph_with_what_a_task_configures(project):
    """A function that takes the config may need something there."""
    folder, content = project
    content["graphs"] = {"agent": "./src/agent/made.py:make"}
    (folder / "langgraph.json").write_text(json.dumps(content))
    (folder / "src/agent/made.py").write_text(
        f"{ECHO}def make(config):\n    config['configurable']['n']\n    return graph\n"
    )
    assert "making the graph raised KeyError: 'n'" in found()["graph agent"]["detail"]
    task = '[[task]]\nid = "a"\nname = "A"\nprompt = "P"\nschedule = "every hour"\nconfigurable = {{ {} = 1 }}\n'
    (folder / "tasks.toml").write_text(task.format("n"))
    assert found(code=0)["graph agent"]["detail"] == "agent can be invoked and is made for each run"


def test_check_before_there_is_a_store(project):
    """The tasks of a tasks file are looked at in place of those in the store."""
    folder, _ = project
    (folder / "tasks.toml").write_text("[[task")
    checks = found()
    assert checks["store"]["ok"]
    assert "tasks.toml, line 1: " in checks["tasks.toml"]["detail"]
    fields = 'id = "a"\nname = "A"\nprompt = "P"\nschedule = "every hour"\n'
    (folder / "tasks.toml").write_text(f'[[task]]\n{fields}result_callback = "nowhere.f"\n')
    checks = found()
    assert "result_callback='nowhere.f' cannot be imported" in checks["task a"]["detail"]
    assert checks["tasks.toml"]["detail"].startswith("0 of 1 can be used")


def test_check_looks_at_the_graph_that_is_named(project):
    """By a name of langgraph.json, or by a path, with the project's variables."""
    for graph in ("agent", "./src/agent/graph.py:graph"):
        checks = found("--graph", graph)
        assert checks["graph"] == {"name": "graph", "ok": True, "detail": f"{graph} can be invoked"}
        assert "graph agent" not in checks


def test_a_langgraph_json_that_is_wrong(project):
    """`check` reports it, and `serve` ends with it."""
    folder, _ = project
    (folder / "langgraph.json").write_text("{")
    assert "langgraph.json: it is no JSON" in found()["langgraph.json"]["detail"]
    assert "langgraph.json: it is no JSON" in run("serve", code=1).stderr


def test_serving_without_a_choice(project, monkeypatch):
    """Where langgraph.json has several graphs and no option names one, `serve` says what there is."""
    monkeypatch.setitem(sys.modules, "graph", None)  # there is none, although this checkout has one
    said = run("serve", "--no-checkpoints", code=1).stderr
    assert "langgraph.json has the graphs agent, broken; name one with --graph" in said
    folder, content = project
    content["graphs"] = {"js": "./src/graph.ts:graph"}
    (folder / "langgraph.json").write_text(json.dumps(content))
    for command in (("serve", "--no-checkpoints"), ("init", "--yes")):
        said = run(*command, code=1).stderr
        assert "langgraph.json has no graph in Python (its graphs: js); run it on a LangGraph server" in said


def test_serving_tasks_that_name_their_graphs(project, started, monkeypatch):
    """Then no option has to name one."""
    folder, _ = project
    monkeypatch.setitem(sys.modules, "graph", None)  # there is none, although this checkout has one
    task = '[[task]]\nid = "a"\nname = "A"\nprompt = "P"\nschedule = "every hour"\ngraph = "agent"\n'
    (folder / "tasks.toml").write_text(task)
    run("serve", "--tasks", "tasks.toml")
    assert [run.response for run in started] == ["Echo: P"]
