"""What the parts of one claim share: who claims and when, what was found, and where results go."""

from dataclasses import dataclass
from typing import Self

from scheduler.store.claims import Batch, Claimer
from scheduler.store.database.statements import Connection
from scheduler.store.open_runs import OpenRuns
from scheduler.store.threads import Threads
from scheduler.store.usable import UsableTasks


@dataclass(frozen=True, slots=True)
class Claiming:
    """One claim, inside one transaction."""

    connection: Connection
    claimer: Claimer
    now: int
    until: int
    """Due times up to this instant, a moment ahead, are claimed as well."""
    batch: Batch
    """The result."""
    usable: UsableTasks
    open_runs: OpenRuns
    threads: Threads

    @classmethod
    def begin(cls, connection: Connection, claimer: Claimer, now: int, until: int) -> Self:
        """Return a claim that has found nothing yet."""
        batch = Batch()
        usable = UsableTasks(connection, claimer, batch)
        return cls(
            connection, claimer, now, until, batch, usable, OpenRuns(connection), Threads(connection, claimer, now)
        )
