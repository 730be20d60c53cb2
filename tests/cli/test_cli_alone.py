"""Commands as processes where no scheduler runs yet: a store that is missing, `serve`, `init`."""

import os
import re
import shutil
import signal
import tomllib

import pytest
from cli_kit import ROOT, end, wait_for

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones"),
    pytest.mark.timeout(120),
]


def test_serving(place):
    """`serve` runs the graph that it is given, found in the working directory, and drains at SIGTERM."""
    place.quick("add", "--id", "often", "--prompt", "Go\x1b[31m on [red].", "--every", "1h")
    told = place.quick("trigger", "often")
    assert told.stderr == "No scheduler is running on this store; the run waits until one does.\n"
    with place.start("-m", "scheduler", "serve", "--graph", "graph:graph", "--poll-interval", "0.05") as process:
        wait_for(process, "Scheduler running. Press Ctrl+C to stop.")
        line = wait_for(process, "Task often completed.")
        assert line.endswith("Response: Echo: Go[31m on [red].\n"), "what a terminal would obey is left out"
        code, rest = end(process, signal.SIGTERM)
        assert code == 0, rest
        assert "Scheduler stopped" in rest
    assert {run["status"] for run in place.quick_json("runs")} == {"succeeded"}


def test_serving_without_a_graph(place):
    """A graph that cannot be imported ends it at once, with one line and exit code 1."""
    failed = place.run("serve", "--graph", "nowhere:graph", code=1)
    assert failed.stderr.splitlines()[-1].startswith("error: graph='nowhere:graph': there is no module nowhere")


def test_a_project_gets_a_scheduler(place):
    """`init` asks, writes tasks.toml and main.py, and the program runs; a second time it changes nothing."""
    (place.folder / "pyproject.toml").write_text('[project]\nname = "mine"\ndependencies = [\n    "langgraph",\n]\n')
    answers = "y\nn\nn\ny\nEurope/Berlin\nin 5 minutes\nSoon.\nevery weekday at 9am\nSummarise the news.\n"
    asked = place.run("init", given=answers)
    assert "Tasks that run at a time of the day?" in asked.stderr
    assert "error: 'in 5 minutes' depends on when it is read; in a file, name the date" in asked.stderr
    assert asked.stdout == (
        "Graph: graph:graph\nWrote tasks.toml\nWrote main.py\n\n"
        "pyproject.toml exists and was not changed. After line 3, add:\n"
        '    "langgraph-task-scheduler",\n'
    )
    assert tomllib.loads((place.folder / "tasks.toml").read_text()) == {
        "task": [
            {
                "id": "summarise-the-news",
                "name": "Summarise the news",
                "schedule": "every weekday at 9am",
                "timezone": "Europe/Berlin",
                "prompt": "Summarise the news.",
            }
        ]
    }
    with place.start("main.py") as process:
        wait_for(process, "Scheduler running. Press Ctrl+C to stop.")
        code, rest = end(process, signal.SIGINT)
        assert code == 0, rest
    assert [task["id"] for task in place.quick_json("list")] == ["summarise-the-news"]
    assert place.quick("apply", "tasks.toml").stdout == "1 kept\n", "the program and the command are one source"

    before = {file.name: file.read_text() for file in place.folder.glob("*.[tp]*") if file.is_file()}
    again = place.json("init", "--yes", "--task", "every 90 minutes=Look after it.")
    assert again["written"] == []
    assert [line["file"] for line in again["lines"]] == ["tasks.toml", "pyproject.toml"]
    assert {name: (place.folder / name).read_text() for name in before} == before


def test_init_notices_a_graph_that_takes_other_input(place):
    """The files are written all the same; the sentence says what to do, and the exit code is 1."""
    (place.folder / "graph.py").write_text(
        "from typing_extensions import TypedDict\nfrom langgraph.graph import START, StateGraph\n\n"
        "class State(TypedDict):\n    topic: str\n\n"
        "builder = StateGraph(State)\nbuilder.add_node('n', lambda state: state)\nbuilder.add_edge(START, 'n')\n"
        "research = builder.compile()\n"
    )
    done = place.run("init", "--yes", "--task", "every day at 9am=Go.", code=1)
    assert "Graph: graph:research" in done.stdout
    assert "its input has no `messages` (it has topic)" in done.stderr
    assert "input_builder" in done.stderr
    assert 'graph="graph:research"' in (place.folder / "main.py").read_text()


@pytest.mark.parametrize("command", ["task-scheduler", "module"])
def test_what_it_is_called(place, command):
    """The console script and `python -m scheduler` are the same program."""
    if command == "task-scheduler":
        scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
        assert scripts == {"task-scheduler": "scheduler.cli:main"}
        return
    assert "Usage: task-scheduler [OPTIONS] COMMAND" in place.run("--help").stdout


def test_listing_leaves_langgraph_out(place):
    """It costs seconds to import, and a listing does not need it."""
    shutil.copy(ROOT / "graph.py", place.folder)
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    with place.start("-X", "importtime", "-m", "scheduler", "list") as process:
        output = process.stdout.read()
    assert " scheduler.cli" in output
    assert not re.search(r"\|\s+lang(graph|chain)", output)
