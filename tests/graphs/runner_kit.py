"""Tasks, claims and attempts for the tests of the runner."""

from scheduler import TaskDefinition
from scheduler.graphs import GraphRunner, RunnerSettings
from scheduler.models import RunTrigger
from scheduler.store import Claim
from scheduler.timing.clock import WallClock


def a_task(**fields):
    fields = {"id": "t", "name": "Report", "prompt": "Write the report.", "interval_seconds": 60, **fields}
    return TaskDefinition(task_type="interval", **fields)


def a_claim(task=None, **values):
    values = {"run_id": "r1", "scheduled_at": 1_000_000, "attempt": 1, "coalesced": 0, "next_due": None, **values}
    values = {"thread_id": "scheduler:daily", **values}
    return Claim(task=task or a_task(), trigger=RunTrigger.SCHEDULE, **values)


def a_runner(graph, **settings):
    """Return a runner that has loaded its graph, an object."""
    runner = GraphRunner(RunnerSettings(graph, **settings), WallClock())
    runner.load()
    return runner


async def attempt(graph, **fields):
    """Make one attempt of a task at a graph, and return how it ended."""
    return await a_runner(graph).run(a_claim(a_task(**fields)))


class Returning:
    """A graph that returns what it was made with."""

    def __init__(self, result):
        self.result = result

    async def ainvoke(self, input, config=None):  # noqa: A002 (LangGraph's own signature)
        return self.result
