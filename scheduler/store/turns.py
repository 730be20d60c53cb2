"""Threads that share a few connections take turns."""

import threading
import time
from collections import deque
from typing import Final

_FOREVER: Final = float("inf")


class Turns:
    """Lets a number of threads in at once, and further ones in the order in which they came.

    A thread gives up when nobody has made progress for as long as it is willing to wait. It does not give up because
    many others came before it: their turns end, so its own comes.
    """

    def __init__(self, number: int) -> None:
        """Take how many threads may be inside at once."""
        self._lock = threading.Lock()
        self._free = number
        self._waiting: deque[threading.Lock] = deque()
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
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        return self._wait(gate, came_at, timeout)

    def _wait(self, gate: threading.Lock, came_at: float, timeout: float) -> float | None:
        while True:
            deadline = max(came_at, self._progress_at) + timeout
            left = deadline - time.monotonic()
            if gate.acquire(timeout=min(max(left, 0.0), threading.TIMEOUT_MAX)):
                return max(came_at, self._progress_at) + timeout
            with self._lock:
                if gate not in self._waiting:
                    continue  # The turn came at this very moment.
                if time.monotonic() >= max(came_at, self._progress_at) + timeout:
                    self._waiting.remove(gate)
                    return None

    def leave(self, *, has_succeeded: bool) -> None:
        """End a turn, and give it to who has waited longest."""
        with self._lock:
            if has_succeeded:
                self._progress_at = time.monotonic()
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
