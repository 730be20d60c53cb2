"""An input builder with two parameters gets the run: what it stands for, and what came before it."""

import functools

import pytest
from helpers import PATIENCE, EchoGraph, FailingGraph, hourly

from scheduler.graphs.callbacks import takes_run


class Builder:
    """Keeps the runs that it is given."""

    def __init__(self):
        self.runs = []

    def __call__(self, task, run):
        self.runs.append(run)
        return {"messages": [{"role": "user", "content": f"{task.prompt} since {run.last_success_at}"}]}


async def test_a_builder_gets_the_run_and_the_one_before(new_scheduler):
    """Of those that have started; the last success may be older than that."""
    build, graph = Builder(), EchoGraph()
    scheduler = new_scheduler(graph, input_builder=build)
    scheduler.add_tasks([hourly("t"), hourly("other")])
    scheduler.start()
    first = await scheduler.run_task("t", timeout=PATIENCE)
    await scheduler.run_task("other", timeout=PATIENCE)
    graph.ainvoke = FailingGraph().ainvoke
    second = await scheduler.run_task("t", prompt="Other words.", timeout=PATIENCE)
    third = await scheduler.run_task("t", timeout=PATIENCE)
    runs = [run for run in build.runs if run.id in {first.id, second.id, third.id}]
    assert [run.previous and run.previous.id for run in runs] == [None, first.id, second.id]
    assert [run.last_success_at for run in runs] == [None, first.finished_at, first.finished_at]
    assert (runs[1].previous.status, runs[1].previous.response) == ("succeeded", first.response)
    assert (runs[1].prompt, runs[1].attempt, runs[1].trigger) == ("Other words.", 1, "manual")
    assert runs[2].scheduled_at == third.scheduled_at
    assert first.response == "Echo: Prompt of t since None"


async def test_each_attempt_has_its_number(new_scheduler, failing):
    """A run is not its own predecessor."""
    build = Builder()
    scheduler = new_scheduler(failing, input_builder=build)
    scheduler.add_task(hourly("t", max_attempts=2, retry_delay_seconds=0))
    scheduler.start()
    await scheduler.run_task("t", timeout=PATIENCE)
    assert [(run.attempt, run.previous) for run in build.runs] == [(1, None), (2, None)]


def _one(task):
    pass


def _two(task, run):
    pass


def _optional(task, depth=1):
    pass


def _optional_run(task, run=None):
    pass


def _any(*values):
    pass


@pytest.mark.parametrize(
    ("build", "takes"),
    [
        (_one, False),
        (_two, True),
        (_optional, False),
        (_optional_run, True),
        (_any, False),
        (Builder(), True),
        (functools.partial(_two, run=None), False),
        (dict, False),
    ],
)
def test_who_gets_a_run(build, takes):
    """Functions that were right before are called as before."""
    assert takes_run(build) is takes
