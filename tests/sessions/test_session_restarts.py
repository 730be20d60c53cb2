"""Runs that are restarted again and again: one that makes progress continues, one that makes none must end."""

import asyncio
import operator
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from helpers import hourly, wait_until
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from runner_kit import a_claim, a_runner, a_task
from session_kit import Gate, chain, saver_at
from typing_extensions import TypedDict

from scheduler import RunStatus
from scheduler.store import RESTART_LIMIT


class Numbers(TypedDict):
    """Which steps have been made."""

    messages: list
    done: Annotated[list, operator.add]


class Ladder:
    """Steps that are numbered from 0; those up to `height` can be made, the next one lasts until it is cancelled."""

    def __init__(self):
        self.height = 0
        self.is_reached = asyncio.Event()

    async def climb(self, number):
        if number >= self.height:
            self.is_reached.set()
            await asyncio.Event().wait()

    def step(self, number):
        async def climb(_state):
            await self.climb(number)
            return {"done": [number]}

        return climb

    def chain(self, number):
        return chain(Numbers, **{f"step{each}": self.step(each) for each in range(number)})


def as_steps(ladder, number):
    return ladder.chain(number).compile()


def in_a_subgraph(ladder, number):
    return chain(Numbers, inner=ladder.chain(number).compile()).compile()


def in_a_graph_that_a_method_calls(ladder, number):
    """LangGraph does not find it, so it shows none of its states."""

    class Agent:
        def __init__(self):
            self.graph = ladder.chain(number).compile()

        async def run(self, state):
            return await self.graph.ainvoke(state)

    return chain(Numbers, inner=Agent().run).compile()


def side_by_side(ladder, number):
    """All steps are tasks of one step of LangGraph's, which has a checkpoint at its end alone."""
    builder = StateGraph(Numbers)
    for each in range(number):
        builder.add_node(f"step{each}", ladder.step(each))
        builder.add_edge(START, f"step{each}")
        builder.add_edge(f"step{each}", END)
    return builder.compile()


def as_tasks(ladder, number):
    @task
    async def climb(each):
        await ladder.climb(each)
        return each

    @entrypoint()
    async def flow(_given: MessagesState) -> list:
        return [await climb(each) for each in range(number)]

    return flow


KINDS = [as_steps, in_a_subgraph, in_a_graph_that_a_method_calls, side_by_side, as_tasks]


class Restarts:
    """Attempts of one run, of which each but the last is cut off."""

    def __init__(self, graph, saver, ladder, **fields):
        self.runner = a_runner(graph, checkpointer=saver)
        self.ladder = ladder
        self.task = a_task(**fields)
        self.interrupted = ()

    def claim(self):
        number = len(self.interrupted) + 1
        last = RunStatus.INTERRUPTED if self.interrupted else None
        return a_claim(self.task, attempt=number, interrupted=self.interrupted, last_status=last, checkpointed=True)

    async def cut_off(self):
        """Make an attempt and cut it off when it makes no more progress; return its outcome if it ended by itself."""
        self.ladder.is_reached.clear()
        attempt = asyncio.ensure_future(self.runner.run(self.claim()))
        reached = asyncio.ensure_future(self.ladder.is_reached.wait())
        await asyncio.wait([attempt, reached], return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        if not attempt.done():
            attempt.cancel()
            await asyncio.wait([attempt])
            self.interrupted += (len(self.interrupted) + 1,)
            return None
        return attempt.result()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_makes_progress_continues(place, kind):
    """However often it is restarted: each attempt makes one more step."""
    ladder = Ladder()
    number = RESTART_LIMIT + 5
    async with saver_at(place) as saver:
        restarts = Restarts(kind(ladder, number), saver, ladder)
        for ladder.height in range(number):
            assert await restarts.cut_off() is None, f"it was given up after {restarts.interrupted}"
        ladder.height = number
        outcome = await restarts.cut_off()
    assert (outcome.status, outcome.resumed) == (RunStatus.SUCCEEDED, True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_makes_no_progress_ends(place, kind):
    """After its first step each attempt ends in the second one. It is `interrupted` for good, and says why."""
    ladder = Ladder()
    ladder.height = 1
    async with saver_at(place) as saver:
        restarts = Restarts(kind(ladder, 3), saver, ladder)
        while (outcome := await restarts.cut_off()) is None:
            assert len(restarts.interrupted) < 2 * RESTART_LIMIT
    assert (outcome.status, outcome.is_last) == (RunStatus.INTERRUPTED, True)
    assert "it was restarted 10 times without progress" in outcome.error
    assert len(restarts.interrupted) in {RESTART_LIMIT + 1, RESTART_LIMIT + 2}


@pytest.mark.parametrize("kind", [as_steps, in_a_subgraph])
async def test_only_the_last_restarts_count(place, kind):
    """A run that was stuck for ten restarts and then makes progress has ten more."""
    ladder = Ladder()
    async with saver_at(place) as saver:
        restarts = Restarts(kind(ladder, 4), saver, ladder)
        for ladder.height in (0, 1, 2):
            for _ in range(RESTART_LIMIT):
                assert await restarts.cut_off() is None
        ladder.height = 4
        assert (await restarts.cut_off()).status is RunStatus.SUCCEEDED


async def test_a_run_whose_checkpoints_are_lost_each_time_ends():
    """A saver in memory dies with its process, so the graph starts from its input, with `rerun_after_crash`."""
    ladder = Ladder()
    restarts = Restarts(as_steps(ladder, 3), InMemorySaver(), ladder, rerun_after_crash=True)
    while (outcome := await restarts.cut_off()) is None:
        assert len(restarts.interrupted) < 2 * RESTART_LIMIT
        restarts.runner = a_runner(as_steps(ladder, 3), checkpointer=InMemorySaver())
    assert (outcome.status, len(restarts.interrupted)) == (RunStatus.INTERRUPTED, RESTART_LIMIT)


async def test_a_graph_that_had_returned_succeeds_however_often_it_was_restarted(place):
    """What is done is done: a run that is cut off after its last step each time is recorded as succeeded."""
    ladder = Ladder()
    ladder.height = 2
    async with saver_at(place) as saver:
        restarts = Restarts(as_steps(ladder, 2), saver, ladder)
        await restarts.cut_off()
        restarts.interrupted = tuple(range(1, 3 * RESTART_LIMIT))
        assert (await restarts.cut_off()).status is RunStatus.SUCCEEDED


# --- With a scheduler ---


@asynccontextmanager
async def stopped_in(scheduler, gate):
    """Start a scheduler, and stop it when its graph waits at a gate."""
    scheduler.start()
    await gate.entered.wait()
    gate.entered.clear()
    yield
    await scheduler.stop()


async def test_a_run_that_is_stopped_each_time_in_the_same_step_ends(scheduler_with):
    """Its service is restarted each time, perhaps by the run itself; then the thread is free for the next run."""
    gate = Gate()
    graph = chain(MessagesState, update=gate).compile()
    scheduler = scheduler_with(graph)
    scheduler.add_task(hourly())
    run_id = scheduler.trigger_task("hourly")
    for _ in range(RESTART_LIMIT + 1):
        async with stopped_in(scheduler, gate):
            pass
    scheduler.start()
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    run = scheduler.get_run(run_id)
    assert (run.status, run.attempt) == (RunStatus.INTERRUPTED, RESTART_LIMIT + 2)
    assert "without progress" in run.error
    gate.opened.set()
    next_run = scheduler.trigger_task("hourly")
    await wait_until(lambda: scheduler.get_run(next_run).finished_at, scheduler)
    assert scheduler.get_run(next_run).status is RunStatus.SUCCEEDED


async def test_a_run_that_is_stopped_in_one_step_after_the_other_continues(scheduler_with):
    """A long run outlives any number of restarts."""
    gates = [Gate() for _ in range(RESTART_LIMIT + 3)]
    graph = chain(MessagesState, **{f"step{number}": gate for number, gate in enumerate(gates)}).compile()
    scheduler = scheduler_with(graph)
    scheduler.add_task(hourly())
    run_id = scheduler.trigger_task("hourly")
    for gate in gates:
        async with stopped_in(scheduler, gate):
            pass
        gate.opened.set()
    scheduler.start()
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    run = scheduler.get_run(run_id)
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, len(gates) + 1)
