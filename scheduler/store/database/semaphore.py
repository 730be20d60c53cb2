"""A semaphore for threads that share a few connections: in order, and patient while others make progress."""

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Final

_FOREVER: Final = float("inf")
_LATEST: Final = 5.0
"""A thread never waits for others that came more than this many seconds later."""


@dataclass(order=True, slots=True)
class _Waiting:
    """A thread that waits for the semaphore."""

    due: float
    number: int
    gate: threading.Lock = field(compare=False)


class FairSemaphore:
    """Lets a number of threads in at once. Of the threads that wait, the one with the earliest deadline is next.

    So a pass, which waits for one second, is not queued behind all the calls that wait for five, and no thread waits
    without end. A thread gives up when no other has made progress for as long as it is willing to wait. It does not
    give up because many others came first: they will be done, and it will be next.
    """

    def __init__(self, number: int) -> None:
        """Take how many threads can be inside at once."""
        self._lock = threading.Lock()
        self._free = number
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._progress_at = 0.0

    def acquire(self, timeout: float = _FOREVER) -> float | None:
        """Wait to be let in.

        `timeout` is in seconds, and counts from now or from the latest progress of others. Returns the end of this time
        on the monotonic clock, for what the caller waits for next; None if it ended.
        """
        came_at = time.monotonic()
        with self._lock:
            if self._free:
                self._free -= 1
                return came_at + timeout
            waiting = _Waiting(came_at + min(timeout, _LATEST), next(self._numbers), threading.Lock())
            waiting.gate.acquire()
            heapq.heappush(self._waiting, waiting)
        return self._wait(waiting, came_at, timeout)

    def _wait(self, waiting: _Waiting, came_at: float, timeout: float) -> float | None:
        while True:
            left = self._deadline(came_at, timeout) - time.monotonic()
            if waiting.gate.acquire(timeout=min(max(left, 0.0), threading.TIMEOUT_MAX)):
                return self._deadline(came_at, timeout)
            with self._lock:
                if waiting not in self._waiting:
                    continue  # It was let in at this very moment.
                if time.monotonic() >= self._deadline(came_at, timeout):
                    self._waiting.remove(waiting)
                    heapq.heapify(self._waiting)
                    return None

    def _deadline(self, came_at: float, timeout: float) -> float:
        return max(came_at, self._progress_at) + timeout

    def release(self, *, has_succeeded: bool) -> None:
        """Let the next thread in. `has_succeeded` says whether that was progress."""
        with self._lock:
            if has_succeeded:
                self._progress_at = time.monotonic()
            if self._waiting:
                heapq.heappop(self._waiting).gate.release()
            else:
                self._free += 1
