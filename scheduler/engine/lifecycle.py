"""The states of an engine, and how it moves between them."""

from concurrent.futures import Future
from enum import Enum
from typing import Final


class State(Enum):
    """What an engine is doing. `docs/architecture.md` has the diagram."""

    STOPPED = "stopped"
    """Nothing runs; `start` may be called."""
    RUNNING = "running"
    """Passes claim what is due."""
    DRAINING = "draining"
    """Nothing is claimed; running runs have their grace, and outcomes are written."""
    CANCELLED = "cancelled"
    """The event loop ends: as `DRAINING`, without grace."""


MOVES: Final = {
    State.STOPPED: frozenset({State.RUNNING}),
    State.RUNNING: frozenset({State.DRAINING, State.CANCELLED, State.STOPPED}),
    State.DRAINING: frozenset({State.CANCELLED, State.STOPPED}),
    State.CANCELLED: frozenset({State.STOPPED}),
}
"""From each state, the states that may follow it."""


class Lifecycle:
    """The state of one engine. All moves are made on its event loop, or where that loop is closed.

    - `STOPPED` → `RUNNING`: `begin`.
    - `RUNNING` → `DRAINING`: `drain`, when somebody stops the engine.
    - `RUNNING`, `DRAINING` → `CANCELLED`: `cancel`, when the event loop cancels the engine's task.
    - any → `STOPPED`: `finish`, when the store is closed. From `RUNNING` only if the event loop is gone.
    """

    def __init__(self) -> None:
        """Begin as `STOPPED`."""
        self.state: State = State.STOPPED
        self.grace: float = 0.0
        """For how many seconds running runs may continue while the engine drains."""
        self._stopped: Future[None] = Future()
        self._stopped.set_result(None)

    @property
    def is_stopping(self) -> bool:
        """Whether a stop is in progress."""
        return self.state is State.DRAINING or self.state is State.CANCELLED  # asked for each run: no hash of an enum

    @property
    def fires(self) -> bool:
        """Whether passes may claim and runs may start."""
        return self.state is State.RUNNING

    def stopped(self) -> "Future[None]":
        """Return what is done when the engine has stopped; it is done already if the engine is `STOPPED`."""
        return self._stopped

    def begin(self) -> None:
        """Move to `RUNNING`."""
        self._move(State.RUNNING)
        self._stopped = Future()

    def drain(self, grace: float) -> None:
        """Move to `DRAINING`; running runs have `grace` seconds."""
        self._move(State.DRAINING)
        self.grace = grace

    def cancel(self) -> None:
        """Move to `CANCELLED`, unless that has been done."""
        if self.state is not State.CANCELLED:
            self._move(State.CANCELLED)
        self.grace = 0.0

    def finish(self) -> None:
        """Move to `STOPPED`, unless that has been done, and tell those who wait for it."""
        if self.state is not State.STOPPED:
            self._move(State.STOPPED)
            self._stopped.set_result(None)

    def _move(self, to: State) -> None:
        if to not in MOVES[self.state]:
            message = f"an engine that is {self.state.value} cannot become {to.value}"
            raise RuntimeError(message)
        self.state = to
