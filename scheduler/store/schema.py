"""Tables, CHECKs, indexes and the schema version; `migrations` brings older stores to it.

Instants are integer microseconds since 1970 in UTC, definitions and attempts are JSON text.
"""

import functools
from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    FromClause,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    literal_column,
)

from scheduler.models import OPEN_STATUSES, RunStatus, RunTrigger

VERSION: Final = 5
"""The schema version that this release writes and reads."""

metadata: Final = MetaData()


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return CheckConstraint(f"{column} IN ({listed})", name=f"known_{column}")


def _open() -> str:
    return ", ".join(f"'{status}'" for status in sorted(OPEN_STATUSES))


schema: Final = Table("scheduler_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))
"""One row: the version that the tables have."""

tasks: Final = Table(
    "scheduler_tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("definition", Text, nullable=False),
    # What decides the due times; a definition that is added again with the same text keeps them.
    Column("schedule", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("anchor", BigInteger, nullable=False),
    # None: no due time will come any more.
    Column("next_due", BigInteger),
    Column("paused", Integer, nullable=False, default=0),
    Column("pause_reason", Text),
    Column("started_runs", BigInteger, nullable=False, default=0),
    Column("failures", BigInteger, nullable=False, default=0),
    # The number of the task's newest run; the history is trimmed by it.
    Column("last_seq", BigInteger, nullable=False, default=0),
    Column("finished_at", BigInteger),
    Column("removed", Integer, nullable=False, default=0),
    # Why the row cannot be used; the task is quarantined until it is added again.
    Column("problem", Text),
    # What brought the task, such as a file; None: a program or a person, by hand.
    Column("source", Text),
    # When to say that its last due time is near; None: it has been said, or there is no end.
    Column("warn_at", BigInteger),
    # Since when it is paused, and when it resumes by itself; None: it is not, or nobody knows; it does not.
    Column("paused_at", BigInteger),
    Column("pause_until", BigInteger),
    # What a search looks at (see `searching.py`); None: the definition could not be read.
    Column("words", Text),
    CheckConstraint("paused IN (0, 1)", name="paused_flag"),
    CheckConstraint("removed IN (0, 1)", name="removed_flag"),
    CheckConstraint("removed = 0 OR finished_at IS NOT NULL", name="removed_is_finished"),
)

# Conditions of partial indexes. Queries use these very objects: SQLite takes such an index only if it finds its
# condition in the query word for word, with no parameter in it.
CAN_BE_DUE: Final = and_(
    tasks.c.next_due.is_not(None),
    tasks.c.paused == literal_column("0"),
    tasks.c.finished_at.is_(None),
    tasks.c.problem.is_(None),
)
IS_FINISHED: Final = tasks.c.finished_at.is_not(None)
_WILL_EXPIRE: Final = tasks.c.warn_at.is_not(None)
RESUMES_BY_ITSELF: Final = tasks.c.pause_until.is_not(None)

runs: Final = Table(
    "scheduler_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("scheduled_at", BigInteger, nullable=False),
    # A pending run is not started before this.
    Column("ready_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("coalesced", BigInteger, nullable=False, default=0),
    Column("trigger", Text, nullable=False),
    # 1: not started beside another run of its task.
    Column("exclusive", Integer, nullable=False, default=1),
    Column("cancel_requested", Integer, nullable=False, default=0),
    Column("owner", Text),
    Column("thread_id", Text, nullable=False),
    # 1: its graph has a checkpointer, so its thread is its own while it is open, and it can be continued.
    Column("checkpointed", Integer, nullable=False, default=0),
    Column("resumed", Integer, nullable=False, default=0),
    # What the graph asks, what it was answered (both JSON), and when the waiting ends.
    Column("questions", Text),
    Column("answer", Text),
    Column("expires_at", BigInteger),
    # When the thread of this run alone is to be deleted.
    Column("thread_until", BigInteger),
    Column("response", Text),
    Column("error", Text),
    Column("earlier_attempts", Text),
    # The step that a streaming run finished last, and the tokens that the run used (JSON).
    Column("current_step", Text),
    Column("usage", Text),
    # When to say that nobody has answered yet; None: it has been said, or the run waits for any time.
    Column("warn_at", BigInteger),
    # For this run alone, in place of what its task says: the prompt, and further metadata (JSON).
    Column("prompt", Text),
    Column("metadata", Text),
    # Why somebody has asked for the run to be cancelled, while it is running; None: its overlap policy has, or nobody.
    Column("cancel_reason", Text),
    # The run that this one repeats, and the runs whose checkpoint it continues (ids, with blanks between them).
    Column("retry_of", Text),
    Column("continues", Text),
    # How many runs of the backfill that it belongs to may be running at once.
    Column("max_concurrent", Integer),
    _one_of("status", [str(status) for status in RunStatus]),
    _one_of("trigger", [str(trigger) for trigger in RunTrigger]),
    CheckConstraint(f"(status IN ({_open()})) = (finished_at IS NULL)", name="open_or_finished"),
    CheckConstraint("(status = 'running') = (owner IS NOT NULL)", name="running_has_owner"),
)

IS_BACKFILL: Final = runs.c.trigger == literal_column(f"'{RunTrigger.BACKFILL}'")
IS_SCHEDULED: Final = runs.c.trigger == literal_column(f"'{RunTrigger.SCHEDULE}'")


def is_open(table: FromClause = runs) -> ColumnElement[bool]:
    """Return the condition that a run is not over."""
    return table.c.status.in_([literal_column(f"'{status}'") for status in sorted(OPEN_STATUSES)])


def has_status(status: RunStatus, table: FromClause = runs) -> ColumnElement[bool]:
    """Return the condition that a run has a status."""
    return table.c.status == literal_column(f"'{status}'")


IS_PENDING: Final = has_status(RunStatus.PENDING)
# Not by `is_open`: SQLite would take the index of all open runs.
IS_OPEN_BACKFILL: Final = and_(runs.c.finished_at.is_(None), IS_BACKFILL)
IS_RUNNING: Final = has_status(RunStatus.RUNNING)
IS_SKIPPED: Final = has_status(RunStatus.SKIPPED)
IS_OVER: Final = runs.c.finished_at.is_not(None)
IS_WAITING: Final = has_status(RunStatus.WAITING)
HAS_THREAD_TO_DELETE: Final = runs.c.thread_until.is_not(None)


def holds_thread(table: FromClause = runs) -> ColumnElement[bool]:
    """Return the condition that a run is not over and its graph keeps its thread; other runs are not in this index."""
    return and_(is_open(table), table.c.checkpointed == literal_column("1"))


owners: Final = Table(
    "scheduler_owners",
    metadata,
    Column("id", Text, primary_key=True),
    Column("boot", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    # How long each lease of the owner is; None: an earlier release has written the row.
    Column("lease_length", BigInteger),
)
"""The processes that run a scheduler on this store, each with the instant until which its runs count as alive."""

purged: Final = Table(
    "scheduler_purged",
    metadata,
    Column("id", Text, primary_key=True),
    Column("schedule", Text, nullable=False),
    Column("started_runs", BigInteger, nullable=False),
)
"""Tasks that were finished or removed and are deleted by now, so that a program may still add them at each start."""

tags: Final = Table(
    "scheduler_tags",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
)
"""The tags of the tasks; of removed ones too, so that their runs are found."""

responses: Final = Table(
    "scheduler_responses",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("response", Text, nullable=False),
)
"""Responses that are longer than what `runs` keeps of them."""

unloadable: Final = Table(
    "scheduler_unloadable",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    # The code that the owner has to load for the task; None: it cannot use the stored definition.
    Column("code", Text),
    # None: it is being loaded.
    Column("problem", Text),
    # How often it was tried in vain, and when it is tried again.
    Column("tries", Integer, nullable=False),
    Column("retry_at", BigInteger, nullable=False),
)
"""Tasks that an owner cannot load at present, and leaves to others."""


clock: Final = Table("scheduler_clock", metadata, Column("latest", BigInteger, nullable=False))
"""One row: the latest instant at which something was written. A clock that is earlier than this was set back."""


@functools.cache
def partial_indexes() -> dict[Index, ColumnElement[bool]]:
    """Return the indexes that hold some rows only, each with what those rows meet; made when they are needed first."""
    Index("scheduler_runs_history", runs.c.task_id, runs.c.seq, unique=True)
    Index("scheduler_unloadable_retry", unloadable.c.owner, unloadable.c.retry_at)
    Index("scheduler_tags_task", tags.c.task_id)
    return {
        Index("scheduler_tasks_due", tasks.c.next_due): CAN_BE_DUE,
        Index("scheduler_tasks_finished", tasks.c.finished_at): IS_FINISHED,
        Index("scheduler_tasks_warn", tasks.c.warn_at): _WILL_EXPIRE,
        Index("scheduler_tasks_pause_until", tasks.c.pause_until): RESUMES_BY_ITSELF,
        Index("scheduler_runs_once", runs.c.task_id, runs.c.scheduled_at, unique=True): IS_SCHEDULED,
        Index("scheduler_runs_pending", runs.c.ready_at): IS_PENDING,
        Index("scheduler_runs_backfill", runs.c.task_id, runs.c.attempt, runs.c.ready_at): IS_OPEN_BACKFILL,
        Index("scheduler_runs_running", runs.c.owner): IS_RUNNING,
        Index("scheduler_runs_waiting", runs.c.expires_at): IS_WAITING,
        Index("scheduler_runs_warn", runs.c.warn_at): IS_WAITING,
        Index("scheduler_runs_thread_until", runs.c.thread_until): HAS_THREAD_TO_DELETE,
        Index("scheduler_runs_threads", runs.c.thread_id): holds_thread(),
        Index("scheduler_runs_open", runs.c.task_id, runs.c.status): is_open(),
        # Pages of the runs of a status. Few are running; one index of all would cost each run two more changes.
        Index("scheduler_runs_over", runs.c.status, runs.c.id): IS_OVER,
        Index("scheduler_runs_pending_pages", runs.c.id): IS_PENDING,
        Index("scheduler_runs_waiting_pages", runs.c.id): IS_WAITING,
        # A skipped row may stand for later and later due times, so its id does not tell when they were.
        Index("scheduler_runs_skipped", runs.c.scheduled_at): IS_SKIPPED,
    }
