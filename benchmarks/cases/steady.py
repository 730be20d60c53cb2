"""A steady load: interval tasks of one second, spread evenly over it, beside a heap in memory that does the same."""

import asyncio
import heapq
import time
from datetime import timedelta
from typing import Any

from benchmarks import graphs
from benchmarks.measure import percentile, pulse, stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import PROMPT, in_another_process, in_seconds, rows
from scheduler import TaskDefinition, TaskScheduler, TaskType
from scheduler.clock import to_micros
from scheduler.models import RunTrigger
from scheduler.runner import graph_config, graph_input
from scheduler.store import Claim

TASKS = 300
SECONDS = 20
LEAD = 1.5
MISSED = "SELECT count(*) FROM scheduler_runs WHERE status IN ('missed', 'skipped') OR coalesced > 0"
LATENESS = "SELECT started_at - scheduled_at FROM scheduler_runs WHERE scheduled_at < {until}"


class Watch:
    """A graph that notes how late each call comes, and hands it on."""

    def __init__(self, graph: Any) -> None:  # noqa: ANN401 (any graph)
        """Take the graph that does the work."""
        self._graph = graph
        self.late: list[float] = []

    async def ainvoke(self, input: Any, config: Any = None) -> Any:  # noqa: A002, ANN401 (LangGraph's own signature)
        """Note the time, and invoke the graph."""
        due = input["metadata"]["due"] if "due" in input["metadata"] else None
        now = time.time()
        self.late.append(now - (due if due is not None else _due(config, now)))
        return await self._graph.ainvoke(input, config)


def _due(config: Any, now: float) -> float:  # noqa: ANN401
    raise NotImplementedError
