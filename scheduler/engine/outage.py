"""Passes that fail: how long to wait before the next try, and one log line when it begins and when it is over."""

from collections.abc import Callable
from typing import Final

from scheduler import logbook
from scheduler.errors import StoreError

FIRST_RETRY: Final = 0.1
LONGEST_RETRY: Final = 5.0
"""Seconds before a pass is tried again: doubling from the first to the longest."""


class Outage:
    """A series of failed passes: *over*, or *on* from the first failed pass to the next one that succeeds."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """Take a clock that is never set; its seconds count from any instant."""
        self._seconds = seconds
        self._delay = 0.0
        self._since = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the last pass failed."""
        return self._delay > 0

    def failed(self, error: Exception) -> float:
        """Note that a pass failed; return how many seconds to wait."""
        if not self.is_on:
            self._since = self._seconds()
            if isinstance(error, StoreError):
                logbook.store_failed(error)
            else:
                logbook.pass_failed(error)
        self._delay = min(max(self._delay * 2, FIRST_RETRY), LONGEST_RETRY)
        return self._delay

    def succeeded(self) -> None:
        """Note that a pass succeeded."""
        if self.is_on:
            logbook.store_recovered(self._seconds() - self._since)
        self._delay = 0.0
