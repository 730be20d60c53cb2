"""What one read says about the work that there is, so that a pass with nothing to do writes nothing."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, exists, func, not_, select

from scheduler.store.database.statements import Connection, Statement
from scheduler.store.schema import (
    CAN_BE_DUE,
    HAS_THREAD_TO_DELETE,
    IS_PENDING,
    IS_RUNNING,
    IS_WAITING,
    RESUMES_BY_ITSELF,
    owners,
    runs,
    tasks,
)
from scheduler.store.unloadable import is_left, is_to_be_retried, latest_retry


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to do for one scheduler."""

    next_due: int | None
    next_ready: int | None
    resumes_at: int | None
    """When the next pause ends by itself."""
    is_ready: bool
    has_foreign: bool
    has_cancels: bool
    has_expired: bool
    has_old_threads: bool
    has_lease: bool
    """Whether this process has its lease still, which another process may have taken."""
    has_retries: bool
    """Whether there are tasks that it could not load, and is to try again."""
    has_expiring_tasks: bool
    has_expiring_runs: bool

    def has_work(self, now: int, slots: int | None, early: int, *, is_running: bool) -> bool:
        """Tell whether a pass has something to write."""
        may_claim = slots is not None and (slots > 0 or is_running)
        is_due = self.next_due is not None and self.next_due <= now + early and may_claim
        waits = (self.is_ready and bool(slots)) or self.has_expired
        others = self.has_foreign or self.has_cancels or not self.has_lease or self.has_expiring
        resumes = self.resumes_at is not None and self.resumes_at <= now
        return is_due or waits or others or resumes or (self.has_retries and slots is not None)

    @property
    def has_expiring(self) -> bool:
        """Whether something will expire, which has not been said yet."""
        return self.has_expiring_tasks or self.has_expiring_runs

    def wake_at(self, now: int, slots: int, early: int) -> int | None:
        """Return when the next pass has something to do, as far as is known."""
        due = self.next_due
        if due is not None and due > now + early:
            due -= early // 2  # what comes sooner was left out on purpose until it is due
        moments = [moment for moment in (due, self.next_ready, self.resumes_at) if moment is not None]
        # What is due already waits for a slot; the end of a run makes the next pass.
        return min((moment for moment in moments if moment > now or slots > 0), default=None)


def take_snapshot(connection: Connection, owner: str, now: int) -> Snapshot:
    """Return what there is to do for the scheduler of an owner."""
    [row] = connection.execute(_SNAPSHOT, {"now": now, "me": owner, "no_later_than": latest_retry(now)})
    flags = [bool(flag) for flag in row[3:]]
    return Snapshot(row.next_due, row.next_ready, row.resumes_at, *flags)


_SNAPSHOT: Final = Statement(
    lambda: select(
        select(tasks.c.next_due)
        .where(CAN_BE_DUE, not_(is_left(tasks.c.id)))
        .order_by(tasks.c.next_due)
        .limit(1)
        .scalar_subquery()
        .label("next_due"),
        select(func.min(runs.c.ready_at))
        .where(IS_PENDING, runs.c.ready_at > bindparam("now"))
        .scalar_subquery()
        .label("next_ready"),
        select(func.min(tasks.c.pause_until)).where(RESUMES_BY_ITSELF).scalar_subquery().label("resumes_at"),
        exists()
        .where(
            IS_PENDING,
            runs.c.ready_at <= bindparam("now"),
            not_(is_left(runs.c.task_id)),
            not_(exists().where(tasks.c.id == runs.c.task_id, tasks.c.problem.is_not(None))),
        )
        .label("is_ready"),
        exists().where(IS_RUNNING, runs.c.owner != bindparam("me")).label("has_foreign"),
        exists().where(IS_RUNNING, runs.c.owner == bindparam("me"), runs.c.cancel_requested == 1).label("has_cancels"),
        exists().where(IS_WAITING, runs.c.expires_at <= bindparam("now")).label("has_expired"),
        exists().where(HAS_THREAD_TO_DELETE, runs.c.thread_until <= bindparam("now")).label("has_old_threads"),
        exists().where(owners.c.id == bindparam("me")).label("has_lease"),
        exists().where(is_to_be_retried()).label("has_retries"),
        exists().where(tasks.c.warn_at <= bindparam("now")).label("has_expiring_tasks"),
        exists().where(IS_WAITING, runs.c.warn_at <= bindparam("now")).label("has_expiring_runs"),
    )
)
