"""In projects of every shape, `init`, `check` and `serve` work, and so does the program; no file is edited by hand."""

import json
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
from shapes import PROMPT, SHAPES
from typer.testing import CliRunner

import scheduler
from scheduler.cli import app

ROOT = Path(__file__).parent.parent.parent


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(arguments), prog_name="task-scheduler", env={"SCHEDULER_DB": None})
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.parametrize("name", SHAPES)
def test_a_project(folder, started, monkeypatch, name):
    """It finds the graph, writes a task that the graph takes, finds nothing wrong, and the task runs."""
    shape = SHAPES[name]
    if "langgraph.json" in shape.files:
        (folder / ".env").write_text("SCRIPTED_API_KEY=secret\n")
    else:
        monkeypatch.setenv("SCRIPTED_API_KEY", "secret")
    for path, content in shape.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content if isinstance(content, str) else json.dumps(content))
    before = {path: (folder / path).read_bytes() for path in shape.files}
    graph = () if shape.graph is None else ("--graph", shape.graph)
    task = () if shape.task is None else ("--task", shape.task)

    said = run("init", "--yes", *graph, *task).stdout
    assert f"Graph: {shape.found}\n" in said
    [table] = tomllib.loads((folder / "tasks.toml").read_text())["task"]
    assert {name: table.get(name) for name in shape.fields} == shape.fields
    if shape.own_program:
        assert f"task-scheduler serve --tasks tasks.toml --graph {shape.found}\n" in said
    else:
        assert said.endswith("Start it with: python main.py\n")

    named = graph or ("--graph", shape.found)
    checked = run("check", *graph).stdout
    assert "there is none yet" in checked
    assert "1 of 1 can be used" in checked
    run("check", *named)

    run("serve", "--tasks", "tasks.toml", *(() if "langgraph.json" in shape.files and not graph else named))
    if not shape.own_program:
        sys.path.insert(0, str(folder))  # as `python main.py` does
        runpy.run_path("main.py", run_name="__main__")
    assert [(run.status, run.error) for run in started] == [("succeeded", None)] * (1 if shape.own_program else 2)
    assert not shape.answer or {run.response for run in started} == {shape.answer}
    run("check", *named)
    assert {path: (folder / path).read_bytes() for path in shape.files} == before


def test_the_documentation_has_each_shape():
    """In its matrix of what is found, and how it is fed."""
    page = (ROOT / "docs/graph.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")]
    assert [name for name in SHAPES if name not in rows] == []


def test_prompts_of_examples():
    """The prompt that `init --yes` writes is the one that the projects answer with."""
    assert scheduler.TaskDefinition(id="a", name="a", prompt=PROMPT, task_type="interval", interval_seconds=9)
