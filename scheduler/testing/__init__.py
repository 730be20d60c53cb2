"""A scheduler for tests: the real one, in virtual time. Days pass in milliseconds.

`SimulatedScheduler` is a `TaskScheduler` with a store in memory, whose time only the test moves. `FakeGraph` stands for
a graph: it answers, fails, takes its time or asks, as the test says. The package needs no test framework.
"""

from scheduler.testing._fake_graph import FakeGraph, FakeGraphError
from scheduler.testing._loop import RealWaitError
from scheduler.testing._simulated import SimulatedScheduler

__all__ = ["FakeGraph", "FakeGraphError", "RealWaitError", "SimulatedScheduler"]
