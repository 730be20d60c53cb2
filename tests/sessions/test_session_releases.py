"""Runs that wait or were cut off in one release of a program, and continue in the next one, whose graph has changed."""

import asyncio
import operator
from typing import Annotated

import pytest
from helpers import hourly, rows, wait_until
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from session_kit import chain, saver_at, store_at
from typing_extensions import TypedDict

from scheduler import RunStatus, TaskScheduler


class Log(TypedDict):
    messages: Annotated[list, operator.add]


class Payment:
    """A node that pays, once it may: it asks first, or waits, or fails."""

    def __init__(self, manner):
        self.manner = manner
        self.paid = []
        self.entered, self.opened = asyncio.Event(), asyncio.Event()

    async def pay(self, _state):
        self.entered.set()
        if self.manner == "asks":
            interrupt("Pay 100?")
        if self.manner == "is stopped":
            await self.opened.wait()
        if self.manner == "fails":
            self.manner = "pays"
            message = "no network"
            raise OSError(message)
        self.paid.append(100)
        return {"messages": [AIMessage("Paid.")]}


async def plan(_state):
    return {"messages": [AIMessage("I am going to pay 100.")]}


def edge(name, pay):
    return chain(Log, plan=plan, **{name: pay}, report=plan).compile()


def conditional_edge(name, pay):
    builder = StateGraph(Log)
    builder.add_node("plan", plan)
    builder.add_node(name, pay)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", lambda _state: name, [name])
    return builder.compile()


def goto(name, pay):
    async def go(_state):
        return Command(goto=name, update={"messages": [AIMessage("Going.")]})

    builder = StateGraph(Log)
    builder.add_node("plan", go, destinations=(name,))
    builder.add_node(name, pay)
    builder.add_edge(START, "plan")
    return builder.compile()


def sends(name, pay):
    builder = StateGraph(Log)
    builder.add_node("plan", plan)
    builder.add_node(name, pay)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", lambda _state: [Send(name, {"messages": []})], [name])
    return builder.compile()


def side_by_side(name, pay):
    """The other node has finished; LangGraph keeps its result beside the checkpoint."""
    builder = StateGraph(Log)
    builder.add_node("plan", plan)
    builder.add_node(name, pay)
    for each in ("plan", name):
        builder.add_edge(START, each)
        builder.add_edge(each, END)
    return builder.compile()


def join(name, pay, *, defer=False):
    """The node waits for two others."""
    builder = StateGraph(Log)
    builder.add_node("plan", plan)
    builder.add_node("check", plan)
    builder.add_node(name, pay, defer=defer)
    builder.add_edge(START, "plan")
    builder.add_edge(START, "check")
    builder.add_edge(["plan", "check"], name)
    return builder.compile()


def deferred_join(name, pay):
    return join(name, pay, defer=True)


def deferred(name, pay):
    builder = StateGraph(Log)
    builder.add_node("plan", plan)
    builder.add_node(name, pay, defer=True)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", name)
    return builder.compile()


def inside_a_subgraph(name, pay):
    return chain(Log, billing=edge(name, pay), report=plan).compile()


def inside_two_subgraphs(name, pay):
    return chain(Log, shop=inside_a_subgraph(name, pay), report=plan).compile()


def subgraph(name, pay):
    return chain(Log, plan=plan, **{name: edge("node", pay)}, report=plan).compile()


KINDS = [
    edge,
    conditional_edge,
    goto,
    sends,
    side_by_side,
    join,
    deferred_join,
    deferred,
    inside_a_subgraph,
    inside_two_subgraphs,
    subgraph,
]
PLACES = {inside_a_subgraph: " (in billing)", inside_two_subgraphs: " (in shop.billing)"}


async def over(scheduler, run_id, db_path):
    """Return the run when it has ended; an attempt that waits for its delay begins at once."""

    def is_over():
        if scheduler.get_run(run_id).status is RunStatus.PENDING:
            begin_attempts(db_path)
        return scheduler.get_run(run_id).finished_at

    await wait_until(is_over, scheduler)
    return scheduler.get_run(run_id)


def begin_attempts(db_path):
    with rows(db_path) as connection:
        connection.execute("UPDATE scheduler_runs SET ready_at = 0 WHERE status = 'pending'")


class Releases:
    """Schedulers on one store, one after the other, each with another graph."""

    def __init__(self, scheduler_with, db_path):
        self._scheduler_with = scheduler_with
        self._db_path = db_path
        self.scheduler = None

    async def deploy(self, graph):
        if self.scheduler is not None:
            await self.scheduler.stop()
        self.scheduler = self._scheduler_with(graph)
        self.scheduler.start()

    async def begin(self, payment, **fields):
        """Start a run and return its id when it waits, waits for its next attempt, or is in the node."""
        self.scheduler.add_task(hourly(**fields))
        run_id = self.scheduler.trigger_task("hourly")
        await payment.entered.wait()
        if payment.manner != "is stopped":
            left = {RunStatus.WAITING, RunStatus.PENDING}
            await wait_until(lambda: self.scheduler.get_run(run_id).status in left, self.scheduler)
        return run_id

    async def end(self, run_id):
        """Return the run when it has ended, its question answered."""
        if self.scheduler.get_run(run_id).status is RunStatus.WAITING:
            self.scheduler.answer_run(run_id, "yes")
        return await self.over(run_id)

    async def over(self, run_id):
        return await over(self.scheduler, run_id, self._db_path)


@pytest.fixture
def releases(scheduler_with, db_path):
    return Releases(scheduler_with, db_path)


MANNERS = ["asks", "is stopped", "fails"]
RETRY = {"max_attempts": 2, "retry_delay_seconds": 3600}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_that_was_renamed(releases, kind, manner):
    """A run that was to continue there fails and says so: its work was not done."""
    payment = Payment(manner)
    await releases.deploy(kind("pay", payment.pay))
    run_id = await releases.begin(payment, **RETRY)
    await releases.deploy(kind("pay_invoice", payment.pay))
    payment.opened.set()
    run = await releases.end(run_id)
    assert (run.status, payment.paid) == (RunStatus.FAILED, [])
    assert f"the graph no longer has node 'pay'{PLACES.get(kind, '')} where this run would continue" in run.error


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_that_is_still_there(releases, kind, manner):
    """The same graph in the next release continues."""
    payment = Payment(manner)
    await releases.deploy(kind("pay", payment.pay))
    run_id = await releases.begin(payment, **RETRY)
    await releases.deploy(kind("pay", payment.pay))
    payment.opened.set()
    run = await releases.end(run_id)
    assert (run.status, run.resumed, payment.paid) == (RunStatus.SUCCEEDED, True, [100])


async def test_an_entrypoint_that_was_renamed(releases):
    """Its question is gone with it, so the answer would reach nobody."""
    payment = Payment("asks")

    @entrypoint()
    async def flow(_given: dict):
        await payment.pay(None)

    @entrypoint()
    async def new_flow(_given: dict):
        await payment.pay(None)

    await releases.deploy(flow)
    run_id = await releases.begin(payment)
    await releases.deploy(new_flow)
    run = await releases.end(run_id)
    assert (run.status, payment.paid) == (RunStatus.FAILED, [])
    assert "the graph no longer has the node that asked where this run would continue" in run.error


@pytest.mark.parametrize("name", ["pay", "pay_invoice"])
async def test_a_node_of_a_graph_that_a_method_calls(releases, name):
    """LangGraph does not find such a graph; an answer that reached nobody shows that its node was renamed."""

    def release(name):
        class Billing:
            graph = edge(name, payment.pay)

            async def run(self, state):
                return await self.graph.ainvoke(state)

        return chain(Log, billing=Billing().run, report=plan).compile()

    payment = Payment("asks")
    await releases.deploy(release("pay"))
    run_id = await releases.begin(payment, **RETRY)
    await releases.deploy(release(name))
    run = await releases.end(run_id)
    if name == "pay":
        assert (run.status, payment.paid) == (RunStatus.SUCCEEDED, [100])
    else:
        assert (run.status, payment.paid) == (RunStatus.FAILED, [])
        assert "the graph no longer asks the question that was answered" in run.error


async def test_a_node_before_a_join_that_was_renamed(releases):
    """The edge from both nodes has heard of the old name; with the new one it would wait for ever, in silence."""

    def graph(name):
        builder = StateGraph(Log)
        for each, node in ((name, plan), ("pay", payment.pay), ("report", plan)):
            builder.add_node(each, node)
        builder.add_edge(START, name)
        builder.add_edge(START, "plan2")
        builder.add_node("plan2", plan)
        builder.add_edge("plan2", "pay")
        builder.add_edge([name, "pay"], "report")
        return builder.compile()

    payment = Payment("asks")
    await releases.deploy(graph("plan"))
    run_id = await releases.begin(payment)
    await releases.deploy(graph("new_plan"))
    run = await releases.end(run_id)
    assert (run.status, payment.paid) == (RunStatus.FAILED, [])
    assert "the graph no longer has node 'plan'" in run.error


async def test_one_of_two_nodes_that_ask_was_renamed(releases):
    """Both questions are answered; no node hears an answer, since the run cannot be completed."""

    def graph(name):
        builder = StateGraph(Log)
        for each in (name, "ship"):
            builder.add_node(each, payment.pay)
            builder.add_edge(START, each)
        return builder.compile()

    payment = Payment("asks")
    await releases.deploy(graph("pay"))
    run_id = await releases.begin(payment)
    questions = releases.scheduler.get_run(run_id).questions
    await releases.deploy(graph("pay_invoice"))
    releases.scheduler.answer_run(run_id, {question.id: "yes" for question in questions})
    run = await releases.over(run_id)
    assert (len(questions), run.status, payment.paid) == (2, RunStatus.FAILED, [])
    assert "the graph no longer has node 'pay' where" in run.error


async def test_a_release_that_is_taken_back(releases):
    """A further attempt continues when the node is there again."""
    payment = Payment("asks")
    await releases.deploy(edge("pay", payment.pay))
    run_id = await releases.begin(payment, **RETRY)
    await releases.deploy(edge("pay_invoice", payment.pay))
    releases.scheduler.answer_run(run_id, "yes")
    await wait_until(lambda: len(releases.scheduler.get_run(run_id).earlier_attempts) == 2, releases.scheduler)
    assert "no longer has node 'pay'" in releases.scheduler.get_run(run_id).error
    await releases.deploy(edge("pay", payment.pay))
    run = await releases.over(run_id)
    assert (run.status, payment.paid) == (RunStatus.SUCCEEDED, [100])


async def test_a_retry_from_the_start_needs_no_node_of_the_old_graph(releases):
    """The input is given anew."""
    payment = Payment("fails")
    await releases.deploy(edge("pay", payment.pay))
    run_id = await releases.begin(payment, **RETRY, retry_from_start=True)
    await releases.deploy(edge("pay_invoice", payment.pay))
    run = await releases.over(run_id)
    assert (run.status, run.resumed, payment.paid) == (RunStatus.SUCCEEDED, False, [100])


@pytest.mark.parametrize("kind", ["sqlite", "memory", "postgres"])
async def test_the_next_run_on_the_thread_is_not_concerned(kind, tmp_path, db_path, request):
    """Savers keep what the new graph could not clear; a later run that is cut off continues all the same."""
    if kind == "memory":
        await run_after_a_rename(InMemorySaver(), db_path)
    else:
        place = (kind, str(db_path) if kind == "sqlite" else request.getfixturevalue("postgres_url"))
        async with saver_at(place) as saver:
            await run_after_a_rename(saver, db_path)


async def run_after_a_rename(saver, db_path):
    def release(name):
        graph = join(name, payment.pay)
        options = {"checkpointer": saver, "poll_interval": 0.05, "shutdown_grace_seconds": 0}
        return TaskScheduler(**store_at(("sqlite", db_path)), graph=graph, **options)

    payment = Payment("is stopped")
    async with release("pay") as scheduler:
        scheduler.add_task(hourly())
        first = scheduler.trigger_task("hourly")
        await payment.entered.wait()
        await scheduler.stop()
    payment.entered.clear()
    async with release("pay_invoice") as scheduler:
        assert (await over(scheduler, first, db_path)).status is RunStatus.FAILED
        second = scheduler.trigger_task("hourly")
        await payment.entered.wait()
        await scheduler.stop()
    payment.opened.set()
    async with release("pay_invoice") as scheduler:
        run = await over(scheduler, second, db_path)
    assert (run.status, run.attempt, run.resumed, payment.paid) == (RunStatus.SUCCEEDED, 2, True, [100])
