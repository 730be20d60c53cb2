"""Outcomes of attempts that no pass has written yet."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from scheduler.models import RunStatus
from scheduler.store import Claim, Outcome

DELAY: Final = 0.02
"""How long an outcome may wait for others to be written with, in seconds."""
LONGEST_DELAY: Final = 0.1
"""The same while further runs wait to start: the pass that fetches the next ones then writes it, if it comes soon."""


class OutcomeBatch:
    """Outcomes on their way into the store.

    An outcome is *kept* from `add` until a pass takes it with `take`. It is then *stored*, or *kept* again: the pass
    that could not write it gives it back.
    """

    def __init__(self) -> None:
        """Keep none yet."""
        self._outcomes: list[Outcome] = []

    def __bool__(self) -> bool:
        """Return whether there are outcomes to be written."""
        return bool(self._outcomes)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._outcomes.append(outcome)

    def release(self, claims: Iterable[Claim], now: int) -> None:
        """Note that claims were not started: their runs go back into the queue of the store."""
        self._outcomes += [Outcome(claim, RunStatus.PENDING, now) for claim in claims]

    def take(self) -> list[Outcome]:
        """Return what is kept; the caller writes it or gives it back."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def give_back(self, outcomes: list[Outcome]) -> None:
        """Keep outcomes that could not be written, before those that came meanwhile."""
        self._outcomes = outcomes + self._outcomes


class FlushTimer:
    """Has outcomes written a moment after the first one, so that one pass writes many.

    It is *idle* until `start`, then *set* until it calls `flush` or somebody calls `cancel`.
    """

    def __init__(self, flush: Callable[[], None], may_wait: Callable[[], bool]) -> None:
        """Take what has outcomes written, and what tells whether another pass is expected anyway."""
        self._flush = flush
        self._may_wait = may_wait
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Set the timer, unless it is set."""
        if self._timer is None:
            self._wait(DELAY)

    def cancel(self) -> None:
        """Make the timer idle: the outcomes are being written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, waited: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(DELAY, self._is_over, waited)

    def _is_over(self, waited: float) -> None:
        self._timer = None
        if waited < LONGEST_DELAY and self._may_wait():
            self._wait(waited + DELAY)
        else:
            self._flush()
