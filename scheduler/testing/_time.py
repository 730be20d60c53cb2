"""Time that passes only where it is moved, and a wall clock that goes with it."""

import math
from typing import Final

from scheduler.timing.clock import SECOND

_ROUNDING: Final = 0.1
"""Microseconds by which a float of seconds may be off: after a century it has a precision of half of one."""


class VirtualTime:
    """Microseconds since the beginning of a simulation; it never goes back."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.micros: int = 0

    @property
    def seconds(self) -> float:
        """The same in seconds, for event loops."""
        return self.micros / SECOND

    def move_to(self, micros: int) -> None:
        """Let time pass until an instant; one that is past changes nothing."""
        self.micros = max(self.micros, micros)

    def after(self, seconds: float) -> int:
        """Return the first microsecond at which so many seconds have passed from now on, to a tenth of one."""
        return self.micros + math.ceil(seconds * SECOND - _ROUNDING)


class VirtualClock:
    """A wall clock in virtual time, which can be set."""

    def __init__(self, time: VirtualTime, start: int) -> None:
        """Take the time with which it goes, and what it shows at first, in microseconds since 1970."""
        self._time = time
        self._offset = start - time.micros

    def now(self) -> int:
        """Return the present instant in microseconds since 1970, UTC."""
        return self._time.micros + self._offset

    def set(self, instant: int) -> None:
        """Set the clock; no time passes."""
        self._offset = instant - self._time.micros

    def moment_of(self, instant: int) -> int:
        """Return when the clock will show an instant, in virtual time."""
        return instant - self._offset
