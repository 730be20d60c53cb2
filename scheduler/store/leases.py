"""The lease of one scheduler, and how it judges the leases of the others."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, select

from scheduler.store import outcomes, owners
from scheduler.store.database.interface import PASS_TIMEOUT, Database
from scheduler.store.database.statements import Connection, Statement
from scheduler.store.owners import Owner, Processes
from scheduler.store.rows import OwnerRow
from scheduler.store.schema import IS_RUNNING, runs
from scheduler.timing.clock import Clock

_RENEWALS: Final = 3
"""A pass renews the lease when one of so many parts of it is over."""
_DIED: Final = "its process died"
_LEASE_ENDED: Final = "its process gave no sign for longer than its lease"


class Leases:
    """Renews one scheduler's lease, and ends the runs of owners whose lease is over.

    The lease is *held* from `begin` on. It is *lost* when another process has taken this one for dead and deleted its
    owner row; the next pass that writes notices that and takes a new lease.

    The lease of another owner counts only once this scheduler knows that it could have been renewed for its length, or
    for the length of the scheduler's own if that is longer: not before that after a start of the scheduler, an outage
    of the database, or a suspension. A start has to wait too: it cannot tell processes that died long ago from
    processes that a database outage has kept from renewing.
    """

    def __init__(self, length: int, processes: Processes) -> None:
        """Take the length of a lease in microseconds, and what knows which processes have ended."""
        self._length = length
        self._processes = processes
        self._renewed_at = 0
        self._distrusted_at = 0

    def begin(self, connection: Connection, owner: Owner, now: int) -> None:
        """Take the first lease of an owner."""
        owners.renew(connection, owner, now, self._length)
        self._renewed_at = now
        self.distrust(now)

    def distrust(self, now: int) -> None:
        """Note that nobody may have been able to renew a lease up to now."""
        self._distrusted_at = now

    def is_due(self, now: int) -> bool:
        """Tell whether a pass should renew the lease."""
        return now - self._renewed_at >= self._length // _RENEWALS

    def is_late(self, now: int) -> bool:
        """Tell whether the passes are late with renewing the lease, or the clock was set back since they did."""
        return not 0 <= now - self._renewed_at < self._length // 2

    def renew_soon(self) -> None:
        """Let the next pass renew the lease."""
        self._renewed_at = 0

    def keep(self, database: Database, owner: Owner, clock: Clock) -> bool:
        """Renew the lease in place of a pass, in a transaction of its own; return False if it is lost.

        A pass takes a new one then: only a pass knows what is running here, and cancels what was taken over.
        """
        with database.write(PASS_TIMEOUT) as connection:
            # Read here: a process that was suspended before this must not put an old instant over a new one.
            now = clock.now()
            is_kept = owners.extend(connection, owner.id, now + self._length)
        self._renewed_at = now if is_kept else 0
        return is_kept

    def renew(self, connection: Connection, owner: Owner, now: int, running: Collection[str]) -> list[str]:
        """Renew the lease if it is due or lost; return which running runs were taken over because it was lost."""
        # A database that was put in the place of another one has no lease of ours, though none is due.
        if not self.is_due(now) and owners.has_lease(connection, owner):
            return []
        had_lease = owners.renew(connection, owner, now, self._length)
        self._renewed_at = now
        if had_lease:
            return []
        # This process was suspended, or the database is another one: its other leases may be as outdated as ours was.
        self.distrust(now)
        return _no_longer_owned(connection, owner.id, running)

    def recover(self, connection: Connection, owner: Owner, others: Collection[str], now: int) -> list[str]:
        """End the running attempts of those of the other owners that are dead or whose lease is over; return the runs.

        `others` are the owners of running runs, as `running_others` gives them.
        """
        recovered: list[str] = []
        known = {row.id: row for row in owners.others(connection, owner)} if others else {}
        for owner_id in others:
            reason = self._death_of(known.get(owner_id), owner, now)
            if reason is not None:
                recovered += outcomes.interrupt(connection, owner_id, now, reason)
                owners.retire(connection, owner_id)
        return recovered

    def _death_of(self, row: OwnerRow | None, here: Owner, now: int) -> str | None:
        """Return why an owner counts as dead, or None if it may be alive."""
        if row is None or self._processes.is_known_dead(row, here):
            return _DIED
        could_renew_for = now - self._distrusted_at
        if row.lease_until < now and could_renew_for >= max(self._length, row.lease_length or 0):
            return _LEASE_ENDED
        return None


def running_others(connection: Connection, owner: Owner) -> list[str]:
    """Return the other owners that have running runs."""
    return [each for each in outcomes.owners_of_running(connection) if each != owner.id]


_OWN: Final = Statement(lambda: select(runs.c.id).where(runs.c.owner == bindparam("me"), IS_RUNNING))


def _no_longer_owned(connection: Connection, owner_id: str, running: Collection[str]) -> list[str]:
    return sorted(set(running) - set(connection.execute(_OWN, {"me": owner_id}).scalars()))
