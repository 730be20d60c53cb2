"""A machine in virtual time: one store in memory, and processes that come and go."""

import contextlib
import random
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Final, TypeVar

from scheduler.engine import NoTicker, Ticker
from scheduler.errors import StoreError
from scheduler.store import Connection, Database, Owner, OwnerRow, Processes, database_at
from scheduler.testing._loop import VirtualExecutor, VirtualLoop
from scheduler.testing._time import VirtualClock, VirtualTime
from scheduler.timing.clock import SECOND

T = TypeVar("T")
_LOCKED: Final = "another process has locked it"
_TRY_AGAIN: Final = "nothing was stored: try again"
_CALL_TIMEOUT: Final = 5.0
_PASS_TIMEOUT: Final = 1.0
"""How long a call, and a pass, wait for a lock, as with a real database; in virtual seconds."""


class VirtualProcesses(Processes):
    """The processes of a simulation: each start of a scheduler is a new one, and whoever is killed is known to be."""

    def __init__(self) -> None:
        """Nobody runs yet."""
        self._last = 0
        self._alive: set[int] = set()

    def new_owner(self) -> Owner:
        """Return a new owner in the present process."""
        self._last += 1
        self._alive.add(self._last)
        return Owner(str(uuid.UUID(int=self._last)), "simulated", "simulated", self._last, self._last)

    def is_known_dead(self, row: OwnerRow, here: Owner) -> bool:  # noqa: ARG002 (see `Processes`)
        """Tell whether an owner was killed."""
        return row.pid not in self._alive

    def kill(self) -> None:
        """End all processes."""
        self._alive.clear()


class VirtualDatabase:
    """A store in memory that outlives the schedulers which use it, and that another process can lock."""

    name = "simulated"
    is_shared = False
    file = None

    def __init__(self, time: VirtualTime, wait: Callable[[float], None]) -> None:
        """Take the time, and what lets a call wait for a lock."""
        self._real = database_at(None, None)
        self._time = time
        self._wait = wait
        self._locked_until = 0
        self.changes: int = 0
        """How many rows were changed; a pass may commit without a change."""

    def lock(self, seconds: float) -> None:
        """Let another process lock it for so long."""
        self._locked_until = self._time.after(seconds)

    @property
    def locked_seconds(self) -> float:
        """How long it will be locked from now on."""
        return max(0, self._locked_until - self._time.micros) / SECOND

    def exists(self) -> bool:
        """See `Database`."""
        return True

    @contextlib.contextmanager
    def write(self, timeout: float = _CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        if self.locked_seconds:
            self._wait(min(timeout, self.locked_seconds))
        if self.locked_seconds:
            raise StoreError(self.name, _LOCKED, _TRY_AGAIN)
        with self._real.write() as connection:
            yield connection
            self.changes = connection.driver.total_changes

    @contextlib.contextmanager
    def read(self, timeout: float = _CALL_TIMEOUT) -> Iterator[Connection]:  # noqa: ARG002 (see `Database`)
        """See `Database`. A lock for writing keeps nobody from reading."""
        with self._real.read() as connection:
            yield connection

    def close(self) -> None:
        """Do nothing: a restarted scheduler finds what was stored."""

    def delete(self) -> None:
        """Close the real database, which is then gone."""
        self._real.close()


class StoreExecutor(VirtualExecutor):
    """The thread of the passes: calls take no virtual time, unless the store is locked."""

    def __init__(self, loop: Callable[[], VirtualLoop | None], database: VirtualDatabase) -> None:
        """Take what returns the present event loop, and the database."""
        self._loop = loop
        self._database = database

    def submit(self, function: Callable[..., T], /, *values: Any, **named: Any) -> Future[T]:  # noqa: ANN401
        """Make a call; an error under a lock comes after the time that a pass waits for it."""
        done = Future[T]()
        try:
            done.set_result(function(*values, **named))
        except BaseException as error:  # noqa: BLE001 (it is raised where the caller waits)
            loop, seconds = self._loop(), min(self._database.locked_seconds, _PASS_TIMEOUT)
            if loop is None or not seconds:
                done.set_exception(error)
            else:
                loop.call_later(seconds, done.set_exception, error)
        return done


class VirtualMachine:
    """What a simulated scheduler takes from its surroundings; see `Machine`."""

    def __init__(
        self, start: int, seed: int, loop: Callable[[], VirtualLoop | None], wait: Callable[[float], None]
    ) -> None:
        """Take the first instant of the clock, the seed of chance, the event loop, and what waits for a lock."""
        self.time = VirtualTime()
        self.clock: VirtualClock = VirtualClock(self.time, start)
        self.chance: Callable[[], float] = random.Random(seed).random  # noqa: S311 (no secrets)
        self.processes: VirtualProcesses = VirtualProcesses()
        self.database = VirtualDatabase(self.time, wait)
        self._loop = loop

    def sleep(self, _seconds: float) -> None:
        """Do not wait: the test waits for nobody else."""

    def open_database(self, path: Path | None, url: str | None, trusted_owner: str | None) -> Database:  # noqa: ARG002
        """Return the store in memory."""
        return self.database

    def store_executor(self) -> Executor:
        """Return what makes the calls of the passes."""
        return StoreExecutor(self._loop, self.database)

    def ticker(self) -> Ticker:
        """Return nothing that ticks: no virtual loop is blocked."""
        return NoTicker()
