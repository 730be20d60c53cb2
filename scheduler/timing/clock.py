"""What time it is, as an object that is passed in, and instants as integer microseconds.

Everything below the public API computes in microseconds since 1970 in UTC: exact, ordered, and the same in each
database.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

SECOND: Final = 1_000_000
"""One second in microseconds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


class Clock(Protocol):
    """Anything that tells the present instant in microseconds since 1970, UTC."""

    def now(self) -> int:
        """Return the present instant."""
        ...


class WallClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Return the present instant in microseconds since 1970, UTC."""
        return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on two clocks: the wall clock, which may be set, and the loop's clock, which may stop in a sleep."""

    wall: int
    """Microseconds since 1970."""
    loop: float
    """Seconds on the event loop's clock."""

    def loop_time(self, instant: int) -> float:
        """Return when an instant of the wall clock comes on the loop's clock, had the wall clock not been set since."""
        return self.loop + (instant - self.wall) / SECOND

    def elapsed(self, now: "Moment") -> float:
        """Return how many seconds have passed until `now`, by the clock on which more have passed."""
        return max((now.wall - self.wall) / SECOND, now.loop - self.loop)


def to_micros(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970, exactly (floats would round)."""
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(micros: int) -> datetime:
    """Return microseconds since 1970 as an aware datetime in UTC.

    What lies beyond the calendar becomes its first or last instant: the scheduler writes no such number, and one row
    that has it must not break a listing.
    """
    return _EPOCH + timedelta(microseconds=min(max(micros, _EARLIEST), _LATEST))
