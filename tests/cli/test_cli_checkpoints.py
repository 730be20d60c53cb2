"""What somebody who can write to the file of the conversations can make `serve` and `main.py` do."""

import os
import sqlite3

import ormsgpack
import pytest
from cli_kit import ROOT, end, wait_for
from postgres import postgres_server, postgres_url  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones")

GRAPH = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

class Notes(BaseModel):
    lines: list[str] = []

class State(MessagesState):
    notes: Notes

async def node(state: State):
    lines = [*state["notes"].lines, "one more"] if state.get("notes") else ["first"]
    return {"messages": [AIMessage(f"{len(lines)} notes")], "notes": Notes(lines=lines)}

builder = StateGraph(State)
builder.add_node("node", node)
builder.add_edge(START, "node")
graph = builder.compile()
"""
SERVE = ("-m", "scheduler", "serve", "--poll-interval", "0.05")


def test_state_of_the_graphs_own_types_comes_back(place):
    """The types that the graph's state names are what they were, run after run."""
    (place.folder / "graph.py").write_text(GRAPH)
    place.quick("add", "--id", "notes", "--prompt", "Go.", "--cron", "@yearly", "--session", "notes")
    for number in (1, 2):
        with place.start(*SERVE) as process:
            wait_for(process, "Scheduler running")
            assert place.run("trigger", "notes", "--wait").stdout.endswith(f"\n{number} notes\n")
            end(process)


def test_a_forged_checkpoint_calls_nothing(place):
    """A row that names a function and its argument is read without calling it."""
    (place.folder / "graph.py").write_text(GRAPH)
    place.quick("add", "--id", "notes", "--prompt", "Go.", "--cron", "@yearly", "--session", "notes")
    with place.start(*SERVE) as process:
        wait_for(process, "Scheduler running")
        place.run("trigger", "notes", "--wait")
        end(process)
    mark = place.folder / "mark"
    forge(place.folder / "scheduler.checkpoints.db", mark)
    with place.start(*SERVE) as process:
        wait_for(process, "Scheduler running")
        run_id = place.quick_json("trigger", "notes")["id"]
        wait_for(process, "notes.*(completed|failed)|Task notes")
        end(process)
    assert place.quick_json("run", run_id)["status"] in {"succeeded", "failed", "interrupted"}
    assert not mark.exists()


def forge(file, mark):
    """Put a call of `os.mkdir` into each checkpoint and each value that waits to be applied."""
    call = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(("os", "mkdir", str(mark)))))
    with sqlite3.connect(file) as connection:
        rows = connection.execute("SELECT rowid, checkpoint FROM checkpoints WHERE type = 'msgpack'").fetchall()
        assert rows
        for rowid, checkpoint in rows:
            forged = ormsgpack.packb({**ormsgpack.unpackb(checkpoint, ext_hook=lambda *_: None), "evil": 0})
            forged = forged.replace(ormsgpack.packb("evil") + ormsgpack.packb(0), ormsgpack.packb("evil") + call)
            connection.execute("UPDATE checkpoints SET checkpoint = ? WHERE rowid = ?", (forged, rowid))
        connection.execute("UPDATE writes SET type = 'msgpack', value = ?", (call,))


def test_the_forgery_would_work_without_the_restriction(place):
    """Else the test above would show nothing."""
    mark = place.folder / "mark"
    call = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(("os", "mkdir", str(mark)))))
    code = (
        "import sys; from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer; "
        f"JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(('msgpack', {call!r}))"
    )
    with place.start("-c", code) as process:
        process.wait()
    assert mark.exists()


def test_the_example_program_sets_the_restriction_before_it_imports_langgraph(place):
    """LangGraph reads it when it is imported."""
    code = "import main; from langgraph.checkpoint.serde._msgpack import STRICT_MSGPACK_ENABLED as on; print(on)"
    with place.start("-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}") as process:
        assert process.stdout.read() == "True\n"


REMEMBERING = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore

async def node(state, *, store: BaseStore):
    found = await store.aget(("counts",), "n")
    number = 1 if found is None else found.value["n"] + 1
    await store.aput(("counts",), "n", {"n": number})
    return {"messages": [AIMessage(f"time {number}")]}

graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_store_that_outlives_conversations_and_processes(place, request, database):
    """`serve --store` keeps what graphs remember; the file is private, and `check` says when a graph needs one."""
    (place.folder / "graph.py").write_text(REMEMBERING)
    where = "memories.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    assert "its node 'node' needs a store: give it one" in place.run("check", "--graph", "graph:graph", code=1).stdout
    place.quick("add", "--id", "t", "--prompt", "Go.", "--cron", "@yearly", "--session-mode", "per_run")
    for number in (1, 2):
        with place.start(*SERVE, "--store", where) as process:
            wait_for(process, "Scheduler running")
            assert place.run("trigger", "t", "--wait").stdout.endswith(f"\ntime {number}\n")
            end(process)
    if database == "sqlite":
        assert (place.folder / where).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("where", "shown"), [("mysql://x/y", "--store is no path"), ("no/such/x.db", "--store")])
def test_a_store_that_cannot_be_opened(place, where, shown):
    """One line says so."""
    (place.folder / "graph.py").write_text(REMEMBERING)
    told = place.run("serve", "--store", where, code=2 if "://" in where else 1).stderr
    assert shown in told
    assert "Traceback" not in told


def test_a_conversation_is_forgotten(place):
    """By its task, after a question that somebody can answer, or with `--yes`; the next run begins a new one."""
    (place.folder / "graph.py").write_text(GRAPH)
    place.quick("add", "--id", "notes", "--prompt", "Go.", "--cron", "@yearly")
    for first in ("1 notes", "1 notes"):
        with place.start(*SERVE) as process:
            wait_for(process, "Scheduler running")
            for shown in (first, "2 notes"):
                assert place.run("trigger", "notes", "--wait").stdout.endswith(f"\n{shown}\n")
            end(process)
        assert "nobody can be asked here" in place.run("forget", "--task", "notes", code=2).stderr
        told = place.run("forget", "--task", "notes", "--yes").stdout
        assert told == "Deleted the conversation of task 'notes' (scheduler-task:notes).\n"
    assert place.json("forget", "--session", "team", "--yes") == {"thread_id": "scheduler:team"}
    assert "there is no task 'nobody'" in place.run("forget", "--task", "nobody", "--yes", code=3).stderr
    assert "give --task ID or --session NAME" in place.run("forget", code=2).stderr
