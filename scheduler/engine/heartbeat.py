"""Keeps the lease of a running scheduler while its event loop is blocked."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from scheduler import logbook
from scheduler.engine.ticker import Ticker
from scheduler.errors import StoreError
from scheduler.timing.clock import Clock

BEATS: Final = 6
"""Beats per lease. The lease is renewed at the first beat after half of it, so that two more may fail."""
_SHORTEST: Final = 0.01
"""Seconds between two beats at least, however short the lease is."""
PATIENCE: Final = 10
"""A loop that does not respond keeps its lease for this many leases, or longer if one of its runs may take longer."""


class LeaseKeeper(Protocol):
    """The store, as far as a heartbeat uses it."""

    def keep_lease(self, clock: Clock) -> bool:
        """Renew the lease if passes are late with it; return False if another process has ended it."""
        ...


class LoopState(Enum):
    """What is known of an event loop from its last response."""

    RESPONDS = auto()
    BLOCKED = auto()
    HANGS = auto()


def loop_state(silence: float, lease: float, longest_run: float) -> LoopState:
    """Judge a loop that has not responded for `silence` seconds.

    Args:
        silence: seconds since it last responded.
        lease: the length of the lease in seconds.
        longest_run: the largest `timeout_seconds` of its running runs; 0 if they have none.
    """
    if silence <= lease:
        return LoopState.RESPONDS
    return LoopState.BLOCKED if silence <= patience(lease, longest_run) else LoopState.HANGS


def patience(lease: float, longest_run: float) -> float:
    """Return for how many seconds a loop that does not respond keeps its lease."""
    return max(PATIENCE * lease, longest_run)


@dataclass(frozen=True, slots=True)
class LoopSigns:
    """What a heartbeat asks of the scheduler whose lease it keeps."""

    is_healthy: Callable[[], bool]
    """Called on the loop. False if the last pass failed, which counts as no response."""
    longest_run: Callable[[], float]
    """Called from any thread; see `loop_state`."""
    on_lost: Callable[[], None]
    """Called from any thread when another process has ended the lease: makes a pass come soon."""


class Heartbeat:
    """Renews the lease of a running scheduler when its passes are late with it.

    It is *stopped* until `start` and after `stop`; in between it *beats*. A beat asks the event loop for a response,
    which the next beat looks for, and does what the state of the loop calls for:

    - `RESPONDS`, `BLOCKED`: it renews the lease, if that is due. It never takes back a lease that was lost; then it
      only wakes the scheduler, whose next pass cancels the runs that were taken over.
    - `HANGS`: it leaves the lease alone, so that other processes can take over the runs. When the loop responds again,
      it continues.
    - The loop was stopped or closed without `stop`: it leaves the lease alone. After a close it stops.

    Silence is counted in beats, not by a clock: a process that was suspended made none, and its loop is not to blame.
    """

    def __init__(
        self, session: LeaseKeeper, clock: Clock, lease_seconds: float, ticker: Ticker, signs: LoopSigns
    ) -> None:
        """Take the session that has the lease, the clock, the length of the lease, what calls `beat`, and the signs."""
        self._session = session
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._interval = max(lease_seconds / BEATS, _SHORTEST)
        self._ticker = ticker
        self._signs = signs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state = LoopState.RESPONDS
        self._silent_beats = self._asked = self._heard = self._answered = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to beat for a scheduler that has just taken its lease."""
        self._loop = loop
        self._state = LoopState.RESPONDS
        self._silent_beats = self._asked = self._heard = self._answered = 0
        self._ticker.start(self._interval, self.beat)

    def stop(self) -> None:
        """Return when the last beat is over. May be called in any state."""
        self._ticker.stop()
        self._loop = None

    def beat(self) -> bool:
        """Make one beat; return False if no other is to follow."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return False
        if loop.is_running():
            self._listen()
            if self._state is not LoopState.HANGS and not self._keep_lease():
                self._signs.on_lost()
            if self._heard == self._asked:
                self._ask(loop)
        return True

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asked += 1
        # Another thread may close the loop at this very moment.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._respond, self._asked)

    def _listen(self) -> None:
        """Look for the response to the question of an earlier beat."""
        self._silent_beats = 0 if self._answered == self._asked else self._silent_beats + 1
        silence, longest_run = self._silent_beats * self._interval, self._signs.longest_run()
        before, self._state = self._state, loop_state(silence, self._lease_seconds, longest_run)
        is_blocked = self._heard != self._asked
        if is_blocked and before is not self._state:
            self._report(silence, longest_run)

    def _report(self, silence: float, longest_run: float) -> None:
        if self._state is LoopState.BLOCKED:
            logbook.loop_blocked(silence, patience(self._lease_seconds, longest_run))
        elif self._state is LoopState.HANGS:
            logbook.lease_given_up(silence)

    def _respond(self, number: int) -> None:
        """Respond to the question of a beat; on the loop."""
        self._heard = number
        if self._signs.is_healthy():
            self._answered = number

    def _keep_lease(self) -> bool:
        try:
            return self._session.keep_lease(self._clock)
        except StoreError:
            return True  # The passes report an outage; the next beat tries again.
        except Exception as error:  # noqa: BLE001 (nothing may end the beats)
            logbook.lease_not_renewed(error)
            return True
