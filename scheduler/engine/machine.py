"""The machine on which a scheduler runs: time, chance, processes, threads, and where its store is."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from scheduler.engine.ticker import NoTicker, ThreadTicker, Ticker
from scheduler.store import Chance, Database, Processes, database_at, one_thread
from scheduler.timing.clock import Clock, WallClock


class Machine(Protocol):
    """What a scheduler takes from its surroundings; `RealMachine`, or that of a simulation (`scheduler.testing`)."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def chance(self) -> Chance:
        """Returns a random number from 0 to 1, by which the waits between attempts vary."""
        ...

    @property
    def processes(self) -> Processes:
        """Who this process is, and which others have ended."""
        ...

    @property
    def sleep(self) -> Callable[[float], None]:
        """Waits in the store's thread, between tries to write the last outcomes."""
        ...

    def open_database(self, path: Path | None, url: str | None, trusted_owner: str | None) -> Database:
        """Return the database that a file, or a URL, names; with neither, a new one in memory."""
        ...

    def store_executor(self) -> Executor:
        """Return a thread for the passes, which makes one call at a time."""
        ...

    def ticker(self) -> Ticker:
        """Return what calls the heartbeat of a store that other processes use."""
        ...


class RealMachine:
    """The machine as it is."""

    def __init__(self) -> None:
        """Take the machine's own clock and randomness."""
        self.clock: Clock = WallClock()
        self.chance: Chance = random.random
        self.processes: Processes = Processes()
        self.sleep: Callable[[float], None] = time.sleep

    def open_database(self, path: Path | None, url: str | None, trusted_owner: str | None) -> Database:
        """See `Machine`."""
        return database_at(path, url, trusted_owner)

    def store_executor(self) -> Executor:
        """See `Machine`."""
        return one_thread()

    def ticker(self) -> Ticker:
        """See `Machine`."""
        return ThreadTicker("scheduler-lease")


def ticker_for(machine: Machine, database: Database) -> Ticker:
    """Return the machine's ticker where other processes could take over runs: not for a store of this process alone."""
    return machine.ticker() if database.is_shared else NoTicker()
