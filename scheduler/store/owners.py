"""Who owns running runs: the identity of a process, its lease, and whether it is known to be dead."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, bindparam, delete, exists, func, insert, not_, select, update

from scheduler.store.database.statements import Connection, Query, Statement, parameter
from scheduler.store.rows import OwnerRow
from scheduler.store.schema import IS_RUNNING, owners, runs, unloadable
from scheduler.timing.clock import SECOND

_PROC: Final = Path("/proc")
_TOLERANCE: Final = SECOND
"""How far the clocks of two owners may differ before a lease counts as too long."""
_STATE, _STARTED = 0, 19
"""Where /proc/PID/stat has the state and the start time, counted from behind the command's closing bracket."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One scheduler in one process; two processes can be distinguished only within one boot and PID namespace."""

    id: str
    boot: str
    namespace: str
    pid: int
    started: int


def this_process() -> Owner:
    """Return a fresh owner in this process. Where there is no /proc, it can be judged by its lease alone."""
    pid = os.getpid()
    fields = _stat(pid)
    return Owner(
        id=str(uuid.uuid4()),
        boot=_text(_PROC / "sys/kernel/random/boot_id"),
        namespace=_namespace(),
        pid=pid,
        started=0 if fields is None else int(fields[_STARTED]),
    )


def is_known_dead(row: OwnerRow, here: Owner) -> bool:
    """Tell whether an owner's process has certainly ended; a zombie has."""
    comparable = here.boot and here.namespace and (row.boot, row.namespace) == (here.boot, here.namespace)
    if not comparable:
        return False
    fields = _stat(row.pid)
    if fields is None:
        # It may only be hidden, or this process may have no file descriptor left to look with.
        return not _exists(row.pid)
    return fields[_STATE] in {"Z", "X"} or int(fields[_STARTED]) != row.started


class Processes:
    """Who this process is, and which other processes of this machine have ended."""

    def new_owner(self) -> Owner:
        """Return a new owner in this process."""
        return this_process()

    def is_known_dead(self, row: OwnerRow, here: Owner) -> bool:
        """Tell whether the process of an owner has certainly ended."""
        return is_known_dead(row, here)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _stat(pid: int) -> list[str] | None:
    text = _text(_PROC / str(pid) / "stat")
    return text.rpartition(")")[2].split() if text else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


# --- Leases ---


_INSERT: Final = Statement(lambda: insert(owners))


def renew(connection: Connection, owner: Owner, now: int, length: int) -> bool:
    """Move an owner's lease; return False if it had none, because it is new or was taken for dead, and give it one."""
    if extend(connection, owner.id, now + length):
        return True
    values = {
        "id": owner.id,
        "boot": owner.boot,
        "namespace": owner.namespace,
        "pid": owner.pid,
        "started": owner.started,
        "lease_until": now + length,
        "lease_length": length,
    }
    connection.execute(_INSERT, values)
    return False


_RENEW: Final = Statement(
    lambda: update(owners).where(owners.c.id == bindparam("by")).values(lease_until=bindparam("until"))
)


def extend(connection: Connection, owner_id: str, lease_until: int) -> bool:
    """Move an owner's lease; return False if it has none."""
    return connection.execute(_RENEW, {"by": owner_id, "until": lease_until}).rowcount > 0


_LEASE: Final = Statement(lambda: select(owners.c.lease_until).where(owners.c.id == bindparam("by")))


def has_lease(connection: Connection, owner: Owner) -> bool:
    """Tell whether an owner has a lease, which may be over."""
    return connection.execute(_LEASE, {"by": owner.id}).first() is not None


_OTHERS: Final = Query(OwnerRow, lambda: select(owners).where(owners.c.id != bindparam("by")))


def others(connection: Connection, owner: Owner) -> list[OwnerRow]:
    """Return the other owners."""
    return connection.execute(_OTHERS, {"by": owner.id}).all()


_LEASED: Final = Query(OwnerRow, lambda: select(owners).where(owners.c.lease_until >= bindparam("now")))


def count_alive(connection: Connection, processes: Processes, now: int) -> int:
    """Return how many owners have a lease that is not over and a process that is not known to be dead."""
    here = processes.new_owner()
    return sum(not processes.is_known_dead(row, here) for row in connection.execute(_LEASED, {"now": now}))


_OWN_LENGTH: Final = func.coalesce(owners.c.lease_length, parameter("length", BigInteger))
_SHORTEN: Final = Statement(
    lambda: (
        update(owners)
        .where(owners.c.lease_until > parameter("tolerated", BigInteger) + _OWN_LENGTH)
        .values(lease_until=parameter("now", BigInteger) + _OWN_LENGTH)
    )
)


def shorten_leases(connection: Connection, now: int, length: int) -> int:
    """Let no lease last for longer than it is long, whatever the clock of its owner has shown; return how many did.

    `length` is that of owners whose own is not known: an earlier release has written them.
    """
    return connection.execute(_SHORTEN, {"now": now, "tolerated": now + _TOLERANCE, "length": length}).rowcount


_DELETE: Final = Statement(lambda: delete(owners).where(owners.c.id == bindparam("by")))
_DELETE_UNLOADABLE: Final = Statement(lambda: delete(unloadable).where(unloadable.c.owner == bindparam("by")))


def retire(connection: Connection, owner_id: str) -> None:
    """Forget an owner that has ended, and what it could not load."""
    connection.execute(_DELETE, {"by": owner_id})
    connection.execute(_DELETE_UNLOADABLE, {"by": owner_id})


_FORGET: Final = Statement(
    lambda: delete(owners).where(
        owners.c.lease_until < bindparam("before"), not_(exists().where(IS_RUNNING, runs.c.owner == owners.c.id))
    )
)
_FORGET_UNLOADABLE: Final = Statement(
    lambda: delete(unloadable).where(not_(exists().where(owners.c.id == unloadable.c.owner)))
)


def forget(connection: Connection, lease_before: int) -> None:
    """Delete owners whose lease ended before an instant and which have no running run: their processes were killed."""
    connection.execute(_FORGET, {"before": lease_before})
    connection.execute(_FORGET_UNLOADABLE)
