"""A graph that takes its time to end when it is cancelled is waited for: no other one starts beside it."""

import asyncio

import pytest

from scheduler import TaskDefinition
from scheduler.testing import SimulatedScheduler


class Stubborn:
    """Never ends by itself, and needs 0.7 s to end when it is cancelled."""

    def __init__(self):
        self.inside = self.most = 0

    async def ainvoke(self, given, config=None):
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.7)
            raise
        finally:
            self.inside -= 1


def every_10_seconds(**fields):
    return TaskDefinition(id="t", name="T", prompt="Go.", task_type="interval", interval_seconds=10, **fields)


@pytest.fixture
def graph():
    return Stubborn()


def test_a_cancel_while_a_run_that_took_too_long_ends(graph):
    """Its time-out and the next due time come at the same instant, under `cancel_other`."""
    with SimulatedScheduler(start="2026-01-05", graph=graph) as s:
        s.add_task(every_10_seconds(timeout_seconds=10, overlap="cancel_other"))
        runs = s.advance(minutes=2)
    assert graph.most == 1
    assert len(runs) >= 5


@pytest.mark.parametrize("grace", [0, 0.2])
def test_a_stop_while_a_run_that_took_too_long_ends(graph, grace):
    """The stop is over when the graph has ended, so that the next start runs nothing beside it."""
    with SimulatedScheduler(start="2026-01-05", graph=graph, shutdown_grace_seconds=grace) as s:
        s.add_task(every_10_seconds(timeout_seconds=5))
        s.advance(seconds=15.1)
        assert graph.inside == 1
        s.stop()
        assert graph.inside == 0
        s.start()
        s.advance(seconds=10)
    assert graph.most == 1


def test_a_graph_that_does_not_end_is_left_behind():
    """After ten seconds, also if it was cancelled twice; its run has timed out, or was cancelled."""

    class Deaf:
        async def ainvoke(self, given, config=None):
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    continue

    with SimulatedScheduler(start="2026-01-05", graph=Deaf()) as s:
        s.add_task(every_10_seconds(timeout_seconds=5))
        s.advance(seconds=16)
        s.cancel_run(s.runs()[0].id, "enough")
        s.advance(seconds=10)
        assert s.runs()[0].status in {"cancelled", "timed_out"}
