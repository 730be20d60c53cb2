"""Threads that share a few connections take turns."""

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Final

_FOREVER: Final = float("inf")
_LATEST: Final = 5.0
"""Nobody is put behind others who come more than so many seconds later."""


@dataclass(order=True, slots=True)
class _Waiting:
    """A thread that waits for its turn."""

    due: float
    number: int
    gate: threading.Lock = field(compare=False)


class Turns:
    """Lets a number of threads in at once. Of those who wait, the one whose time ends first comes next.

    So a pass, which waits for a second, does not stand behind all the calls that wait for five; and nobody waits for
    ever. A thread gives up when nobody has made progress for as long as it is willing to wait. It does not give up
    because many others came before it: their turns end, so its own comes.
    """

    def __init__(self, number: int) -> None:
        """Take how many threads may be inside at once."""
        self._lock = threading.Lock()
        self._free = number
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._progress_at = 0.0

    def enter(self, timeout: float = _FOREVER) -> float | None:
        """Wait for a turn; return until when to wait for what follows, on the monotonic clock, or None if none came.

        `timeout` is in seconds, and counts from now or from the latest progress of others.
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
                    continue  # The turn came at this very moment.
                if time.monotonic() >= self._deadline(came_at, timeout):
                    self._waiting.remove(waiting)
                    heapq.heapify(self._waiting)
                    return None

    def _deadline(self, came_at: float, timeout: float) -> float:
        return max(came_at, self._progress_at) + timeout

    def leave(self, *, has_succeeded: bool) -> None:
        """End a turn, and give it to the next who waits."""
        with self._lock:
            if has_succeeded:
                self._progress_at = time.monotonic()
            if self._waiting:
                heapq.heappop(self._waiting).gate.release()
            else:
                self._free += 1
