"""What a graph is given, and what is made of that which it returns or raises."""

import asyncio
import contextlib
import json
import logging
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from math import nan
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from helpers import PATIENCE, BlockingGraph, EchoGraph, FailingGraph, one_time, steps, wait_for_runs
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel
from runner_kit import Returning, a_claim, a_runner, a_task, attempt

from scheduler import RunStatus
from scheduler.graphs import bounded, graph_config, graph_input
from scheduler.graphs.json_text import json_text
from scheduler.graphs.messages import response_text

# --- Input and config ---


async def test_input(echo):
    """The graph is given the prompt as a user's message, the session, and who asks: these keys and no others."""
    await attempt(echo, prompt="Grüße 😀", session_id="daily", metadata={"depth": {"a": [1]}})
    assert echo.calls[0][0] == {
        "messages": [{"role": "user", "content": "Grüße 😀"}],
        "session_id": "scheduler:daily",
        "metadata": {"channel": "scheduler", "task_id": "t", "task_name": "Report", "depth": {"a": [1]}},
    }


def test_own_metadata_comes_last():
    """A task's own metadata may stand in for what would be there without it."""
    assert graph_input(a_task(metadata={"channel": "mail", "task_id": "x"}))["metadata"] == {
        "channel": "mail",
        "task_id": "x",
        "task_name": "Report",
    }


async def test_config(echo):
    """The config names the thread, the run and the task, and has no other key."""
    await a_runner(echo).run(a_claim(run_id="r7", scheduled_at=1_767_571_200_000_001))
    config = echo.calls[0][1]
    assert isinstance(config.pop("run_id"), uuid.UUID)
    assert config == {
        "configurable": {"thread_id": "scheduler:daily"},
        "run_name": "Report",
        "tags": ["scheduler"],
        "metadata": {"task_id": "t", "scheduler_run_id": "r7", "scheduled_at": "2026-01-05T00:00:00.000001+00:00"},
    }


def test_run_id_is_fresh_for_each_attempt():
    """Two attempts of one run are two runs to LangGraph; and no `run_id` stands in the metadata, whatever the task."""
    claim = a_claim(a_task(metadata={"run_id": "r1"}))
    first, second = graph_config(claim), graph_config(claim)
    assert first["run_id"] != second["run_id"]
    assert "run_id" not in first["metadata"]


async def test_attempts_share_nothing(echo):
    """What a graph changes in its input or config does not reach the next attempt."""
    runner, claim = a_runner(echo), a_claim()
    await runner.run(claim)
    given, config = echo.calls[0]
    given["messages"].append("x")
    given["metadata"]["x"] = config["metadata"]["x"] = 1
    config["tags"].append("x")
    await runner.run(claim)
    assert "x" not in str(echo.calls[1])


# --- What the graph returned ---


class Answer(BaseModel):
    messages: list[object]


class Kind(Enum):
    NEWS = "news"


class Finding(BaseModel):
    title: str
    sources: tuple[str | int, ...] = ()
    kind: Kind | None = None


class Point(NamedTuple):
    x: int
    y: float


@dataclass
class Plain:
    messages: object = None


BLOCKS = [
    {"type": "text", "text": "Two "},
    {"type": "image_url", "image_url": {"url": "x"}},
    "parts",
    {"type": "text", "text": None},
    {"type": "tool_use", "input": {"text": "no"}},
    SimpleNamespace(text="."),
]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"messages": [{"role": "assistant", "content": "Done."}]}, "Done."),
        ({"messages": [HumanMessage("Do."), AIMessage("Done.")]}, "Done."),
        ({"messages": [AIMessage(content=BLOCKS[:1] + BLOCKS[2:3])]}, "Two parts"),
        ({"messages": [{"content": BLOCKS}]}, "Two parts."),
        ({"messages": [{"content": ("a", "b")}]}, "ab"),
        ({"messages": (AIMessage("Done."),)}, "Done."),
        ({"messages": [("user", "Do."), ("assistant", "Done.")]}, "Done."),
        ({"messages": ["Do.", "Done."]}, "Done."),
        ({"messages": [AIMessage("")]}, ""),
        ({"messages": [AIMessage([])]}, ""),
        ({"messages": [{"role": "assistant"}]}, ""),
        ({"messages": [{"content": None}]}, ""),
        ({"messages": [{"content": 5}]}, "5"),
        ({"messages": [{"content": {"answer": 1}}]}, '{"answer": 1}'),
        ({"messages": [None]}, ""),
        ({"messages": []}, ""),
        ({"messages": None, "n": 1}, '{"messages": null, "n": 1}'),
        ({"messages": "text"}, '{"messages": "text"}'),
        ({"answer": 42}, '{"answer": 42}'),
        ({}, "{}"),
        (None, ""),
        ("Done.", "Done."),
        ("", ""),
        (42, "42"),
        (("assistant", "Done."), '["assistant", "Done."]'),
        (
            {"at": datetime(2026, 1, 2, tzinfo=UTC), "ok": True, "no": None, "price": Decimal("1.50"), "n": nan},
            '{"at": "2026-01-02T00:00:00+00:00", "ok": true, "no": null, "price": "1.50", "n": "nan"}',
        ),
        (
            Finding(title="Ünïcode", sources=("a", 1), kind=Kind.NEWS),
            '{"title": "Ünïcode", "sources": ["a", 1], "kind": "news"}',
        ),
        ([Finding(title="one")], '[{"title": "one", "sources": [], "kind": null}]'),
        ({"point": Point(1, 2.5)}, '{"point": [1, 2.5]}'),
        ({"parsed": AIMessage("Done.").content, 5: b"raw"}, '{"parsed": "Done.", "5": "b\'raw\'"}'),
        (Answer(messages=[AIMessage("Done.")]), "Done."),
        (Answer(messages=[]), ""),
        (Plain([{"content": "Done."}]), "Done."),
        (Plain(), '{"messages": null}'),
        (SimpleNamespace(messages=[SimpleNamespace(content="Done.")]), "Done."),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_response(result, text):
    """The response is the text of the last message, however messages and results are made; else the result itself."""
    assert response_text(result, 2_000) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(value=JSON, limit=st.integers(1, 40))
def test_a_result_is_json(value, limit):
    """A JSON reader gets back what the graph returned; of a long one the beginning is kept."""
    whole = json_text(value, 1_000_000)
    assert json.loads(whole) == value
    assert json_text(value, limit) == whole[:limit]


@pytest.mark.parametrize("result", ["x" * 9999, {"messages": [AIMessage("x" * 9999)]}, ["x" * 9999]])
def test_response_is_cut(result):
    """A long response is kept to a bound."""
    assert len(response_text(result, 2_000)) == 2_000


async def test_success(echo, caplog):
    """A graph that returned is a success, with its response in the outcome and its beginning in the log."""
    caplog.set_level(logging.INFO)
    outcome = await attempt(echo, prompt="x" * 300)
    assert (outcome.status, outcome.response, outcome.error) == (RunStatus.SUCCEEDED, f"Echo: {'x' * 300}", None)
    assert outcome.claim.run_id == "r1"
    line = f"Task Report completed. Response: Echo: {'x' * 194}"
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.INFO] == [line]


async def test_prompts_stay_out_of_the_log(caplog):
    """Neither prompts nor metadata are logged, at any level."""
    caplog.set_level(logging.DEBUG)
    await attempt(FailingGraph(), prompt="The secret.", metadata={"key": "The secret."})
    await attempt(Returning(None), prompt="The secret.", metadata={"key": "The secret."})
    assert "secret" not in caplog.text


# --- What the graph raised ---


class BareError(Exception):
    def __str__(self):
        return ""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError("city"), "KeyError: 'city'"),
        (BareError(), "BareError: "),
        (ExceptionGroup("two", [ValueError(1), KeyError(2)]), "ExceptionGroup: two (2 sub-exceptions)"),
        (StopAsyncIteration("over"), "StopAsyncIteration: over"),
        (TimeoutError("slow"), "TimeoutError: slow"),
        (AssertionError("x" * 9999), f"AssertionError: {'x' * 1984}"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_failure(error, text, caplog):
    """What the graph raises is the outcome of its run, with type and message, and is logged with the task's id."""
    outcome = await attempt(FailingGraph(error))
    assert (outcome.status, outcome.error, outcome.response) == (RunStatus.FAILED, text, None)
    assert outcome.exception is error
    (record,) = caplog.records
    assert re.search(r"\(t\) failed", record.getMessage())
    assert record.exc_info[1] is error


@pytest.mark.parametrize("result", [{}, None, "text"])
async def test_a_graph_that_is_not_async(result):
    """A graph whose `ainvoke` returns no awaitable fails its run, and nothing else."""
    outcome = await attempt(SimpleNamespace(ainvoke=lambda *_: result))
    assert outcome.status is RunStatus.FAILED
    assert outcome.error.startswith("TypeError: ")


async def test_a_graph_with_another_signature():
    """A graph that does not take what it is given fails its run."""

    async def ainvoke(state):
        raise AssertionError

    outcome = await attempt(SimpleNamespace(ainvoke=ainvoke))
    assert outcome.status is RunStatus.FAILED
    assert "TypeError: " in outcome.error


# --- Time-outs and cancellation ---


class Stubborn:
    """A graph that never returns, and does what it wants when it is cancelled."""

    def __init__(self, when_cancelled):
        self.when_cancelled = when_cancelled

    async def ainvoke(self, input, config=None):  # noqa: A002
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return self.when_cancelled()


def returns():
    return {"messages": [{"content": "Done all the same."}]}


def raises():
    message = "clearing up went wrong"
    raise ValueError(message)


def raises_timeout():
    message = "of its own"
    raise TimeoutError(message)


@pytest.mark.parametrize("graph", [BlockingGraph, *map(Stubborn, [returns, raises, raises_timeout])], ids=range(4))
async def test_timed_out(graph, caplog):
    """An attempt that took too long is timed out, whatever the graph makes of its cancellation."""
    graph = graph() if isinstance(graph, type) else graph
    outcome = await attempt(graph, timeout_seconds=0.01)
    assert (outcome.status, outcome.error) == (RunStatus.TIMED_OUT, "TimeoutError: longer than timeout_seconds=0.01")
    assert "Task Report (t) timed out after 0.01 s" in caplog.text
    assert asyncio.current_task().cancelling() == 0


async def test_timed_out_and_ignored(monkeypatch, new_scheduler):
    """A graph that ignores its cancellation is left behind: its run is timed out and its slot is free."""
    monkeypatch.setattr(bounded, "GRAPH_PATIENCE", 0.05)

    class Deaf(BlockingGraph):
        async def ainvoke(self, input, config=None):  # noqa: A002
            while not self.release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.release.wait()

    graph = Deaf()
    scheduler = new_scheduler(graph, max_concurrent_runs=1)
    scheduler.start()
    scheduler.add_tasks(one_time(f"t{each}", timeout_seconds=0.05) for each in range(2))
    runs = await wait_for_runs(scheduler, 2)
    text = "TimeoutError: longer than timeout_seconds=0.05, and it continues although it was cancelled"
    assert [(str(run.status), run.error) for run in runs] == [("timed_out", text)] * 2
    assert len(bounded._left_behind) == 2
    graph.release.set()
    await steps()
    assert not bounded._left_behind


@pytest.mark.parametrize("seconds", [None, 60])
async def test_cancelled_and_slow_to_end(seconds):
    """A graph that is cancelled from outside may take its time to clear up, however often it is cancelled."""
    cleared = asyncio.Event()

    class Careful(BlockingGraph):
        async def ainvoke(self, input, config=None):  # noqa: A002
            try:
                return await super().ainvoke(input, config)
            finally:
                await cleared.wait()

    graph = Careful()
    task = asyncio.create_task(attempt(graph, timeout_seconds=seconds))
    await asyncio.wait_for(graph.entered.wait(), PATIENCE)
    task.cancel()
    await steps()
    assert not task.done()
    cleared.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timed_out_run_has_no_callback(module):
    """A graph that returned too late is not a success: its callback is not called."""
    name = module("late_callbacks", "async def notify(task, result): raise AssertionError")
    outcome = await attempt(Stubborn(returns), timeout_seconds=0.01, result_callback=f"{name}.notify")
    assert outcome.status is RunStatus.TIMED_OUT
    assert outcome.response is None


@pytest.mark.parametrize("timeout_seconds", [None, 60])
async def test_timeout_of_the_graphs_own(timeout_seconds):
    """A graph that raises a TimeoutError of its own has failed: its model was slow, not the run."""

    class Impatient(EchoGraph):
        async def ainvoke(self, input, config=None):  # noqa: A002
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

    outcome = await attempt(Impatient(), timeout_seconds=timeout_seconds)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error == "TimeoutError: "


@pytest.mark.parametrize("timeout_seconds", [None, 60])
async def test_cancellation_passes_through(timeout_seconds):
    """A run that is cancelled from outside ends as cancelled, after the graph has cleared up."""
    graph = BlockingGraph()
    task = asyncio.create_task(attempt(graph, timeout_seconds=timeout_seconds))
    await steps()
    assert graph.inside == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (graph.inside, graph.cancelled) == (0, 1)


async def test_graph_that_cancels_itself():
    """A CancelledError of the graph's own making passes through as well."""
    with pytest.raises(asyncio.CancelledError):
        await attempt(FailingGraph(asyncio.CancelledError()))
