"""What an engine runs inside: APScheduler's `AsyncIOScheduler`, or nothing."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from scheduler.engine.run_slots import OnEnd
from scheduler.store import Claim, NotStarted, Outcome
from scheduler.timing.clock import SECOND, Clock

Submit = Callable[[Claim, OnEnd], None]
"""Submits a claim to the engine's slots."""


class Host(Protocol):
    """What surrounds an engine. Everything is called on the event loop."""

    def is_paused(self) -> bool:
        """Return whether due times are ignored for now."""
        ...

    def launch(self, claims: Sequence[Claim], wake_at: int | None, submit: Submit, /) -> float | None:
        """Submit the claims of a pass; what is not submitted goes back into the store.

        `wake_at` is when the store has something to do again. Returns how many seconds may pass until the next pass,
        None if nothing is known to come.
        """
        ...

    def serve_others(self) -> None:
        """Do what the host has to do beside the engine.

        Called when a pass begins, and when a further pass is asked for before its end.
        """
        ...

    def wake_after(self, seconds: float, wake: Callable[[], None], /) -> None:
        """Call `wake` after so many seconds, in place of an earlier request."""
        ...

    def not_started(self, each: NotStarted, /) -> None:
        """Tell the host's listeners that due times were skipped or missed."""
        ...

    def stop_firing(self, *, wait: bool) -> None:
        """Start nothing and wake nothing any more. `wait`: runs have a grace."""
        ...


class Standalone:
    """A host for an engine alone: it submits each claim at once, and wakes the engine with the loop's own timer."""

    def __init__(self, clock: Clock) -> None:
        """Take the wall clock."""
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def is_paused(self) -> bool:
        """See `Host`. Never."""
        return False

    def launch(self, claims: Sequence[Claim], wake_at: int | None, submit: Submit, /) -> float | None:
        """See `Host`."""
        for claim in claims:
            submit(claim, _ignore)
        return None if wake_at is None else max(0.0, (wake_at - self._clock.now()) / SECOND)

    def serve_others(self) -> None:
        """See `Host`. There is nothing beside the engine."""

    def wake_after(self, seconds: float, wake: Callable[[], None], /) -> None:
        """See `Host`."""
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, wake)

    def not_started(self, each: NotStarted, /) -> None:
        """See `Host`. There are no listeners."""

    def stop_firing(self, *, wait: bool) -> None:  # noqa: ARG002 (see `Host`)
        """See `Host`."""
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _ignore(_outcome: Outcome) -> None:
    """Do nothing with the end of a run: the store has it."""
