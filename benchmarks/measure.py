"""Stopwatches for cases: wall and CPU time, pauses of the event loop, memory, percentiles."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = 0.001
"""How often the event loop is looked at, in seconds."""


@dataclass(slots=True)
class Span:
    """How long something took, in seconds; zero until it is over."""

    seconds: float = 0.0
    cpu: float = 0.0


@contextlib.contextmanager
def stopwatch() -> Iterator[Span]:
    """Measure the wall and CPU time of a block."""
    span = Span()
    wall, cpu = time.perf_counter(), time.process_time()
    yield span
    span.seconds, span.cpu = time.perf_counter() - wall, time.process_time() - cpu


@dataclass(slots=True)
class Pulse:
    """The longest pause between two turns of the event loop."""

    longest: float = 0.0

    async def beat(self) -> None:
        """Take a turn again and again."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last - TICK)
            last = now


@contextlib.asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    """Watch the event loop during a block."""
    watched = Pulse()
    beating = asyncio.create_task(watched.beat())
    await asyncio.sleep(0)
    try:
        yield watched
    finally:
        beating.cancel()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def resident_megabytes() -> float:
    """Return how much memory this process has, after a collection (Linux; elsewhere 0)."""
    gc.collect()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
