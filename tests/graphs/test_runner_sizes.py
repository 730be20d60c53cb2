"""Results, errors and questions of any size and make: what is kept of them is bounded, and so is the work to get it."""

import logging
import sys
import tracemalloc
from collections.abc import Mapping
from contextlib import contextmanager

import pytest
from helpers import FailingGraph, hourly, wait_until
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Interrupt, Send, interrupt
from pydantic import TypeAdapter
from runner_kit import Returning, a_claim, a_runner, a_task, attempt

from scheduler import RunStatus
from scheduler.graphs import RunnerSettings, questions
from scheduler.graphs.questions import questions_of
from scheduler.graphs.usage import usage_of
from scheduler.models import Question

ROWS = [{"id": each, "text": "x" * 50} for each in range(200_000)]
TEXT = "x" * 20_000_000


@contextmanager
def little_memory(most=2_000_000):
    """Fail if the body makes copies of what is huge."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


# --- Responses ---

LIMIT = RunnerSettings().response_limit
RESULTS = {
    "no messages": {"topic": "x", "rows": ROWS},
    "a list": ROWS,
    "a text": TEXT,
    "a message": {"messages": [AIMessage(TEXT)]},
    "a block": {"messages": [AIMessage([{"type": "text", "text": TEXT}])]},
    "blocks": {"messages": [{"content": [{"type": "text", "text": "x" * 50}] * 400_000}]},
    "blocks without text": {"messages": [{"content": [{"type": "image"}] * 400_000}]},
    "other content": {"messages": [{"content": {"rows": ROWS}}]},
    "many messages": {"messages": [("ai", TEXT)] * 400_000},
    "a pair": {"messages": [("ai", ROWS)]},
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
async def test_a_huge_result(result):
    """The beginning of its text is kept, and nothing longer is made on the way."""
    graph = Returning(result)
    runner, claim = a_runner(graph), a_claim()
    with little_memory():
        outcome = await runner.run(claim)
    assert outcome.status is RunStatus.SUCCEEDED
    assert len(outcome.response) == (0 if result is RESULTS["blocks without text"] else LIMIT)


def raising(error):
    def method(*_):
        raise error

    return method


def odd(**members):
    return type("Odd", (), members)()


ODD = {
    "repr": odd(__repr__=raising(RuntimeError("no repr"))),
    "repr exits": odd(__repr__=raising(SystemExit(3))),
    "repr without end": odd(__repr__=repr),
    "repr is no text": odd(__repr__=lambda self: 5),
    "messages": odd(messages=property(raising(RuntimeError("no messages")))),
    "messages exit": odd(messages=property(raising(SystemExit(3)))),
    "in a list": [odd(__repr__=raising(RuntimeError("no repr")))],
    "content": {"messages": [odd(content=property(raising(RuntimeError("no content"))))]},
    "usage": {"messages": [odd(content="text", usage_metadata=property(raising(RuntimeError("no usage"))))]},
    "bool": odd(__bool__=raising(RuntimeError("no bool"))),
}


UNREADABLE = {
    "class": odd(__class__=property(raising(RuntimeError("no class")))),
    "attributes": odd(__getattribute__=raising(RuntimeError("no attributes"))),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_result_that_cannot_be_read(name):
    """Whether it asks something is not known, so the run fails, and says why."""
    outcome = await attempt(Returning(UNREADABLE[name]))
    assert (outcome.status, outcome.error) == (RunStatus.FAILED, f"RuntimeError: no {name}")


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_result(name):
    """The graph has returned, so the run is a success, with what can be said of the result."""
    outcome = await attempt(Returning(ODD[name]))
    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)
    assert 0 < len(outcome.response) <= LIMIT
    assert outcome.usage is None


# --- Tokens ---


class Messages(list):
    """Counts how many of its messages are read."""

    read = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        if isinstance(index, slice):
            Messages.read += len(found)
        return found


def test_tokens_of_very_many_messages():
    """Those of the run stand at the end, so the end is read."""
    used = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    earlier = [HumanMessage("earlier"), AIMessage("x", usage_metadata=used)] * 100_000
    messages = Messages([*earlier, HumanMessage("Go on."), AIMessage("y", usage_metadata=used)])
    found = usage_of({"messages": messages}, None, "Go on.")
    assert (found.input_tokens, found.output_tokens, found.total_tokens) == (7, 2, 9)
    assert Messages.read <= 4_000


def test_tokens_of_huge_messages():
    """No text of them is made to find the run's own input."""
    given = {"messages": [{"role": "user", "content": [{"type": "text", "text": TEXT}] * 3}]}
    answer = AIMessage("x", usage_metadata={"input_tokens": 7, "output_tokens": 2, "total_tokens": 9})
    result = {"messages": [answer, *given["messages"], answer]}
    with little_memory():
        found = usage_of(result, given, "Go on.")
    assert found.total_tokens == 9


# --- Errors ---


@pytest.mark.parametrize(
    "error", [ValueError(TEXT), ValueError(ROWS), KeyError(ROWS), ValueError(1, ROWS)], ids=range(4)
)
async def test_a_huge_error(error, caplog):
    """Its beginning is kept, and logged with the frames of its traceback."""
    runner, claim = a_runner(FailingGraph(error)), a_claim()
    with little_memory():
        outcome = await runner.run(claim)
    assert outcome.status is RunStatus.FAILED
    assert len(outcome.error) == 2_000
    assert outcome.error.startswith(f"{type(error).__name__}: ")
    assert outcome.exception is error
    [record] = caplog.records
    line = record.getMessage()
    assert len(line) < 10_000
    assert line.startswith("Task Report (t) failed: run r1: ")
    assert "in ainvoke" in record.exc_text
    assert len(record.exc_text) < 10_000


async def test_a_huge_error_where_nothing_is_logged(caplog):
    """Nothing is made for a log that does not want it."""
    caplog.set_level(logging.CRITICAL, "scheduler")
    outcome = await attempt(FailingGraph(ValueError(ROWS)))
    assert outcome.status is RunStatus.FAILED
    assert caplog.records == []


async def test_a_huge_error_of_a_callback(module, caplog):
    """The same holds for it."""
    name = module("huge_callbacks", "async def notify(task, result): raise ValueError([0] * 400_000)")
    outcome = await attempt(Returning({}), result_callback=f"{name}.notify")
    assert outcome.status is RunStatus.SUCCEEDED
    assert len(outcome.error) == 2_000
    assert max(len(record.getMessage()) for record in caplog.records) < 10_000


@pytest.mark.parametrize("field", ["graph", "result_callback", "input_builder"])
@pytest.mark.parametrize("error", ["ValueError([0] * 400_000)", "ValueError('x' * 400_000)", "OddError()", "OddExit()"])
async def test_a_module_whose_import_raises_something_odd(module, field, error, echo):
    """The task cannot be loaded, with a text that is not too long."""
    source = f"""
        class OddError(Exception):
            def __str__(self):
                raise ValueError
        class OddExit(BaseException):
            pass
        raise {error}
    """
    name = module("odd_import", source)
    task = a_task(**{field: f"{name}:thing" if field == "graph" else f"{name}.thing"})
    runner = a_runner(echo)
    problem = await runner.load_code(task)
    assert name in problem
    assert len(problem) <= 2_000
    outcome = await runner.run(a_claim(task))
    assert outcome.status is RunStatus.FAILED
    assert name in outcome.error
    assert len(outcome.error) <= 2_000


# --- Questions ---

ADAPTER = TypeAdapter(tuple[Question, ...])


class Endless(Mapping):
    """Has keys without end, each of which is counted."""

    read = 0

    def __getitem__(self, key):
        return key

    def __iter__(self):
        while True:
            self.read += 1
            yield self.read

    def __len__(self):
        return sys.maxsize


@pytest.mark.parametrize("value", [TEXT, ROWS, {"rows": ROWS}, [TEXT] * 10, {TEXT: TEXT}], ids=range(5))
def test_a_huge_question(value):
    """It is cut where a human would long have stopped reading."""
    with little_memory(20_000_000):
        stored = ADAPTER.dump_json(questions_of([Interrupt(value=value, id="q")]))
    assert len(stored) < 1_100_000
    assert "…" in str(ADAPTER.validate_json(stored)[0].value)


def test_very_many_questions():
    """The first ones are kept."""
    assert len(questions_of([Interrupt(value=each, id=str(each)) for each in range(5_000)])) == 1_000


async def test_more_questions_than_are_kept(new_scheduler, monkeypatch):
    """They are asked when the first ones are answered."""
    monkeypatch.setattr(questions, "_MOST_QUESTIONS", 2)

    async def ask(state):
        return {"messages": [("ai", interrupt(state["number"]))]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_conditional_edges(START, lambda _: [Send("ask", {"number": each}) for each in range(3)])
    scheduler = new_scheduler(builder.compile(InMemorySaver()))
    scheduler.start()
    scheduler.add_task(hourly())
    run_id = scheduler.trigger_task("hourly")
    for number in (2, 1):
        await wait_until(lambda: scheduler.get_run(run_id).status == "waiting", scheduler)
        asked = scheduler.get_run(run_id).questions
        assert len(asked) == number
        scheduler.answer_run(run_id, {question.id: f"answer {question.value}" for question in asked})
    await wait_until(lambda: scheduler.get_run(run_id).status == "succeeded", scheduler)


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": value, "b": [value]}])
def test_a_question_that_holds_the_same_again_and_again(wrap):
    """Few objects, and more questions than the world has atoms."""
    value = "x"
    for _ in range(100):
        value = [value, value]
    with little_memory(20_000_000):
        assert len(ADAPTER.dump_json(questions_of([Interrupt(value=wrap(value), id="q")]))) < 1_100_000


def test_a_question_without_end():
    """It is read as far as there is room."""
    value = Endless()
    questions_of([Interrupt(value=value, id="q")])
    assert value.read <= 10_001


@pytest.mark.parametrize("name", [*ODD, *UNREADABLE])
def test_an_odd_question(name):
    """Something is asked in any case."""
    [question] = questions_of([Interrupt(value=[{**ODD, **UNREADABLE}[name]], id="q")])
    assert question.value
