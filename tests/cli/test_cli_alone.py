"""Commands as processes where no scheduler runs yet: a store that is missing, `serve`, `init`."""

import os
import re
import shutil
import signal
import time
import tomllib

import pytest
from cli_kit import GRAPH, ROOT, Place, end, wait_for
from helpers import PATIENCE

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones"),
    pytest.mark.timeout(120),
]


def test_serving(place):
    """`serve` runs the graph that it is given, found in the working directory, and drains at SIGTERM."""
    place.quick("add", "--id", "often", "--prompt", "Go\x1b[31m on [red].", "--every", "1h")
    triggered = place.quick("trigger", "often")
    assert triggered.stderr == "No scheduler is running on this store; the run waits until one does.\n"
    with place.start("-m", "scheduler", "serve", "--graph", "graph:graph", "--poll-interval", "0.05") as process:
        wait_for(process, "Scheduler running. Press Ctrl+C to stop.")
        line = wait_for(process, "Task often completed.")
        assert line.endswith("Response: Echo: Go\\x1b[31m on [red].\n"), "what a terminal would obey is escaped"
        code, rest = end(process, signal.SIGTERM)
        assert code == 0, rest
        assert "Scheduler stopped" in rest
    assert {run["status"] for run in place.quick_json("runs")} == {"succeeded"}


SERVE = ("-m", "scheduler", "serve", "--poll-interval", "0.05")
FORGING = r"""
import logging
FORGED = "1999-11-25 22:00:00,000 ERROR   Task payroll (payroll) failed: run 01a2"

class Forger:
    async def ainvoke(self, given, config=None):
        text = "".join(f"ok{end}{FORGED}" for end in "\n\r\x0b\x85\u2028")
        logging.getLogger("graph").warning("as the graph says: %s", text)
        if given["messages"][-1]["content"] == "Fail.":
            raise ValueError(text)
        return {"messages": [{"role": "assistant", "content": text}]}

graph = Forger()
"""


def test_no_text_looks_like_a_record_of_the_log(place):
    """A line that begins with a date is a record: of the scheduler, or of a graph's own logger; others are indented."""
    (place.folder / "graph.py").write_text(FORGING)
    name = "News\n1999-11-25 22:00:00,000 WARNING Task backup (backup) was removed\u2028X"
    for prompt in ("Fail.", "Go."):
        place.quick("add", "--id", prompt, "--name", name, "--prompt", prompt, "--every", "1h")
        place.quick("trigger", prompt)
    with place.start(*SERVE, "--no-checkpoints") as process:
        lines = [wait_for(process, "Scheduler running")]
        while sum("failed: run" in line or "completed" in line for line in lines) < 2:
            lines.append(process.stdout.readline())
        rest = end(process)[1]
    printed = "".join([*lines[1:], rest])
    assert "1999-11-25 22:00:00,000" in printed
    assert all(re.match(r"  |20\d\d-", line) for line in printed.splitlines())
    assert (
        r"Task News\n1999-11-25 22:00:00,000 WARNING Task backup (backup) was removed\u2028X (Fail.) failed: run"
        in printed
    )
    table = place.quick("runs").stdout
    assert len(table.splitlines()) == 3, "the head and two runs"


ASKING = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

async def node(state: MessagesState):
    if state["messages"][-1].text == "Ask.":
        return {"messages": [AIMessage(f"You said {interrupt('Go on?')}.")]}
    return {"messages": [AIMessage(f"{len(state['messages'])} messages")]}

builder = StateGraph(MessagesState)
builder.add_node("node", node)
builder.add_edge(START, "node")
graph = builder.compile(%s)
"""


def test_serving_conversations(place):
    """A saver beside the store: a session is remembered over a restart, and a graph can ask."""
    (place.folder / "graph.py").write_text(ASKING % "")
    for task_id, prompt in (("count", "Count."), ("ask", "Ask.")):
        place.quick("add", "--id", task_id, "--prompt", prompt, "--cron", "@yearly", "--session", task_id)
    for number in (1, 3):
        with place.start(*SERVE) as process:
            wait_for(process, "Scheduler running")
            assert place.run("trigger", "count", "--wait").stdout.endswith(f"\n{number} messages\n")
            assert end(process)[0] == 0
    assert (place.folder / "scheduler.checkpoints.db").exists()
    with place.start(*SERVE) as process:
        wait_for(process, "Scheduler running")
        run_id = place.quick_json("trigger", "ask")["id"]
        wait_for(process, "waits for an answer")
        end_of_patience = time.monotonic() + PATIENCE
        while "Go on?" not in place.quick("waiting").stdout:  # the log says it a moment before the store
            assert time.monotonic() < end_of_patience
        place.run("answer", run_id, "yes")
        assert wait_for(process, "Task ask completed").endswith("Response: You said yes.\n")
        end(process)


@pytest.mark.parametrize(
    ("saver", "options", "files"),
    [
        ("", ("--no-checkpoints",), []),
        ("", ("--checkpoints", "own.db"), ["own.db"]),
        ("checkpointer=__import__('langgraph.checkpoint.memory').checkpoint.memory.InMemorySaver()", (), []),
    ],
    ids=["none", "named", "the-graph's-own"],
)
def test_where_conversations_are_kept(place, saver, options, files):
    """Where an option says, or nowhere; a graph that has a checkpointer keeps it."""
    (place.folder / "graph.py").write_text(ASKING % saver)
    with place.start(*SERVE, *options) as process:
        wait_for(process, "Scheduler running")
        end(process)
    assert [file.name for file in place.folder.glob("*.db") if file.name != "scheduler.db"] == files


def test_a_saver_that_cannot_be_opened(place):
    """One line and exit code 1; a password is not shown."""
    failed = place.run("serve", "--checkpoints", "missing/file.db", code=1)
    assert failed.stderr == "error: --checkpoints missing/file.db: unable to open database file; name another file\n"
    failed = place.run("serve", "--checkpoints", "graph.py", code=1)
    assert failed.stderr == "error: --checkpoints graph.py: file is not a database; name another file\n"
    assert place.folder.joinpath("graph.py").read_text() == GRAPH


@pytest.mark.parametrize(
    ("where", "reason", "code"),
    [
        ("odd.db\n", r"'odd.db\n': the name of the file has the character '\n'; leave it out", 1),
        ("postgres://u:secret@h:99999/d", "'postgres://…@h:99999/d': the port is 99999; give one from 1 to 65535", 2),
        ("postgresql://u:secret@h:abc/d", "'postgresql://…@h:abc/d': the port is no number", 2),
        ("postgresql+psycopg://u:secret@h/d\n", r"its database has the character '\n'", 2),
    ],
    ids=["file", "port", "no-port", "line-break"],
)
def test_where_no_conversations_can_be_kept(place, where, reason, code):
    """One line, without the password; no file is created."""
    failed = place.run("serve", "--checkpoints", where, code=code)
    assert reason in failed.stderr
    assert "secret" not in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert not list(place.folder.glob("odd*"))


def test_serving_a_tasks_file(place):
    """Applied at the start and after an edit, and pruned; what is wrong changes nothing, and is not the end."""
    task = '[[task]]\nid = "{0}"\nname = "{0}"\nprompt = "Go."\nschedule = "every day at noon"\n'
    file = place.folder / "tasks.toml"
    file.write_text(task.format("a") + 'result_callback = "graph.notify"\n')
    with place.start(*SERVE, "--tasks", "tasks.toml") as process:
        wait_for(process, "New code will be called: result_callback='graph.notify' of task a")
        wait_for(process, "tasks.toml applied: 1 added, 0 changed, 0 kept, 0 removed")
        wait_for(process, "Scheduler running")
        file.write_text("[[task]\n")
        wait_for(process, "ERROR.* The tasks stay as they were: tasks.toml, line 1: ")
        assert [task["id"] for task in place.quick_json("list")] == ["a"]
        file.write_text(task.format("b"))
        wait_for(process, "tasks.toml applied: 1 added, 0 changed, 0 kept, 1 removed")
        assert [task["id"] for task in place.quick_json("list")] == ["b"]
        file.write_text(task.format("c") + "[task.metadata]\nx = " + "[" * 3000 + "]" * 3000)
        wait_for(process, "ERROR.* The tasks stay as they were: tasks.toml, line 7: it is nested too deeply")
        file.unlink()
        wait_for(process, "ERROR.* The tasks stay as they were: tasks.toml: it cannot be read")
        os.mkfifo(file)
        wait_for(process, "ERROR.* The tasks stay as they were: tasks.toml: it is empty")
        file.unlink()
        file.mkdir()
        wait_for(process, "ERROR.* The tasks stay as they were: tasks.toml: it cannot be read .Is a directory")
        file.rmdir()
        file.write_text(task.format("d"))
        wait_for(process, "tasks.toml applied: 1 added, 0 changed, 0 kept, 1 removed")
        assert end(process)[0] == 0
    assert place.quick("apply", "tasks.toml").stdout == "1 kept\n", "the command and `serve` are one source"
    file.write_text("[[task]\n")
    assert (
        place.run("serve", "--tasks", "tasks.toml", code=1)
        .stderr.splitlines()[-1]
        .startswith("error: tasks.toml, line 1")
    )
    place.run("serve", "--tasks", "nothing.toml", code=2)


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
        "defaults": {"timeout_seconds": 600},
        "task": [
            {
                "id": "summarise-the-news",
                "name": "Summarise the news",
                "schedule": "every weekday at 9am",
                "timezone": "Europe/Berlin",
                "prompt": "Summarise the news.",
            }
        ],
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
    assert {**again, "lines": again["lines"][1:]} == {
        "graph": "graph:graph",
        "problem": None,
        "written": [],
        "lines": [{"file": "pyproject.toml", "after": 3, "text": '    "langgraph-task-scheduler",\n', "replaces": 0}],
    }
    assert {name: (place.folder / name).read_text() for name in before} == before


def test_init_feeds_a_graph_that_takes_other_input(place):
    """The words are the first text of its input."""
    (place.folder / "graph.py").write_text(
        "from typing_extensions import TypedDict\nfrom langgraph.graph import START, StateGraph\n\n"
        "class State(TypedDict):\n    topic: str\n\n"
        "builder = StateGraph(State)\nbuilder.add_node('n', lambda state: state)\nbuilder.add_edge(START, 'n')\n"
        "research = builder.compile()\n"
    )
    done = place.run("init", "--yes", "--task", "every day at 9am=Go.")
    assert "Graph: graph:research" in done.stdout
    assert 'input = { topic = "Go." }' in (place.folder / "tasks.toml").read_text()
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
    """It costs seconds to import, and a listing does not need it, nor other commands."""
    shutil.copy(ROOT / "graph.py", place.folder)
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    with place.start("-X", "importtime", "-m", "scheduler", "list") as process:
        output = process.stdout.read()
    assert " scheduler.cli" in output
    assert not re.search(r"\|\s+lang(graph|chain)", output)
    assert "scheduler.cli.commands.serve" not in output, "a command is imported when it is asked for"


@pytest.mark.parametrize("source", [(), ("--source", "crm")])
def test_releases_in_folders_of_their_own(tmp_path, source):
    """With a name, and without one: a task that the next release no longer has is removed."""
    store = ("--db", str(tmp_path / "scheduler.db"))
    for release, ids in ((1, ("keep", "dropped")), (2, ("keep",))):
        folder = tmp_path / str(release)
        folder.mkdir()
        schedule = 'prompt = "P"\nschedule = "every hour"\n'
        tables = [f'[[task]]\nid = "{task_id}"\nname = "N"\n{schedule}' for task_id in ids]
        (folder / "tasks.toml").write_text("\n".join(tables))
        applied = Place(folder).quick_json("apply", "tasks.toml", "--prune", *source, *store)
        shutil.rmtree(folder)
    assert applied["removed"] == ["dropped"]
    assert applied["adopted"] == ([] if source else [str(tmp_path / "1" / "tasks.toml")])
    assert [task["id"] for task in Place(tmp_path).quick_json("list", *store)] == ["keep"]


def test_a_source_without_a_file(place):
    """It would name nothing."""
    assert "give the file with --tasks FILE" in place.quick("serve", "--source", "crm", code=1).stderr
