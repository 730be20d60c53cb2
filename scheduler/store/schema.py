"""Tables, CHECKs, indexes, schema version and migrations.

Instants are integer microseconds since 1970 in UTC, definitions and attempts are JSON text.
"""

import functools
import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.schema import CreateColumn

from scheduler.errors import StoreError
from scheduler.models import OPEN_STATUSES, RunStatus, RunTrigger

VERSION: Final = 4
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
def _indexes() -> dict[Index, ColumnElement[bool]]:
    """Return the indexes that hold some rows only, each with what those rows meet; made when they are needed first."""
    Index("scheduler_runs_history", runs.c.task_id, runs.c.seq, unique=True)
    Index("scheduler_unloadable_retry", unloadable.c.owner, unloadable.c.retry_at)
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
    }


def _create(connection: Connection) -> None:
    """Create the tables and their indexes."""
    for index, condition in _indexes().items():
        # For this dialect only: SQLAlchemy imports each that is named, more than half of the first start.
        index.dialect_options[connection.dialect.name]["where"] = condition
    metadata.create_all(connection)
    connection.execute(schema.insert().values(version=VERSION))
    connection.execute(clock.insert().values(latest=0))


def _to_2(connection: Connection) -> None:
    """Add what streaming runs and graphs that count their tokens tell."""
    _add_column(connection, "scheduler_runs", Column("current_step", Text))
    _add_column(connection, "scheduler_runs", Column("usage", Text))


def _to_3(connection: Connection) -> None:
    """Add purged tasks, tasks that an owner cannot load, the length of leases, the latest instant, and warnings."""
    _create_table(
        connection,
        "scheduler_purged (id TEXT NOT NULL, schedule TEXT NOT NULL, started_runs BIGINT NOT NULL, PRIMARY KEY (id))",
    )
    _create_table(
        connection,
        "scheduler_unloadable (task_id TEXT NOT NULL, owner TEXT NOT NULL, code TEXT, problem TEXT, "
        "tries INTEGER NOT NULL, retry_at BIGINT NOT NULL, PRIMARY KEY (task_id, owner))",
    )
    connection.execute(DDL("CREATE INDEX scheduler_unloadable_retry ON scheduler_unloadable (owner, retry_at)"))  # type: ignore[no-untyped-call]
    _add_column(connection, "scheduler_owners", Column("lease_length", BigInteger))
    _create_table(connection, "scheduler_clock (latest BIGINT NOT NULL)")
    connection.execute(DDL(_LATEST_OF_2))  # type: ignore[no-untyped-call]
    _add_warnings(connection)


_LATEST_OF_2: Final = """
INSERT INTO scheduler_clock SELECT coalesce(max(instant), 0) FROM (
    SELECT max(anchor) AS instant FROM scheduler_tasks
    UNION ALL SELECT max(started_at) FROM scheduler_runs
    UNION ALL SELECT max(finished_at) FROM scheduler_runs
) AS written
"""


def _add_warnings(connection: Connection) -> None:
    """Add when to say that something expires: after nine tenths of its time, at most a day before its end."""
    day, tenth, end = 86_400_000_000, 10, 5
    _add_column(connection, "scheduler_tasks", Column("warn_at", BigInteger))
    _add_column(connection, "scheduler_runs", Column("warn_at", BigInteger))
    bounded = connection.execute(text("SELECT id, schedule, anchor FROM scheduler_tasks WHERE finished_at IS NULL"))
    spans = [("scheduler_tasks", row.id, row.anchor, json.loads(row.schedule)[end]) for row in bounded]
    waiting = connection.execute(text("SELECT id, started_at, expires_at FROM scheduler_runs WHERE status = 'waiting'"))
    spans += [("scheduler_runs", row.id, row.started_at, row.expires_at) for row in waiting]
    for table, key, since, until in spans:
        if since is not None and until is not None:
            values = {"key": key, "warn": until - min(day, max(0, until - since) // tenth)}
            connection.execute(text(f"UPDATE {table} SET warn_at = :warn WHERE id = :key"), values)  # noqa: S608
    for index in (
        "scheduler_tasks_warn ON scheduler_tasks (warn_at) WHERE warn_at IS NOT NULL",
        "scheduler_runs_warn ON scheduler_runs (warn_at) WHERE status = 'waiting'",
    ):
        connection.execute(DDL(f"CREATE INDEX {index}"))  # type: ignore[no-untyped-call]


def _to_4(connection: Connection) -> None:
    """Add pauses that end by themselves, runs with a prompt of their own, retries of runs, and backfills."""
    _replace_check(connection, "'manual', 'schedule'", "'backfill', 'manual', 'retry', 'schedule'")
    for name in ("paused_at", "pause_until"):
        _add_column(connection, "scheduler_tasks", Column(name, BigInteger))
    for name in ("prompt", "metadata", "cancel_reason", "retry_of", "continues"):
        _add_column(connection, "scheduler_runs", Column(name, Text))
    _add_column(connection, "scheduler_runs", Column("max_concurrent", Integer))
    trigger = '"trigger"' if connection.dialect.name == "sqlite" else "trigger"
    is_open_backfill = f"finished_at IS NULL AND {trigger} = 'backfill'"
    for index in (
        "scheduler_tasks_pause_until ON scheduler_tasks (pause_until) WHERE pause_until IS NOT NULL",
        f"scheduler_runs_backfill ON scheduler_runs (task_id, attempt, ready_at) WHERE {is_open_backfill}",
    ):
        connection.execute(DDL(f"CREATE INDEX {index}"))  # type: ignore[no-untyped-call]


def _replace_check(connection: Connection, listed: str, wanted: str) -> None:
    """Let runs have further triggers; SQLite cannot change a check, so the table is built again there."""
    if connection.dialect.name != "sqlite":
        check = f"ADD CONSTRAINT known_trigger CHECK (trigger IN ({wanted}))"
        connection.execute(DDL(f"ALTER TABLE scheduler_runs DROP CONSTRAINT known_trigger, {check}"))  # type: ignore[no-untyped-call]
        return
    found = connection.execute(
        text("SELECT type, sql FROM sqlite_master WHERE tbl_name = 'scheduler_runs' AND sql IS NOT NULL")
    ).all()
    (table,) = [row.sql for row in found if row.type == "table"]
    columns = table[table.index("(") :].replace(f"({listed})", f"({wanted})")
    for statement in (
        f"CREATE TABLE scheduler_runs_rebuilt {columns}",
        "INSERT INTO scheduler_runs_rebuilt SELECT * FROM scheduler_runs",
        "DROP TABLE scheduler_runs",
        "ALTER TABLE scheduler_runs_rebuilt RENAME TO scheduler_runs",
        *(row.sql for row in found if row.type == "index"),
    ):
        connection.exec_driver_sql(statement)


def _create_table(connection: Connection, definition: str) -> None:
    """Create a table; the definition is spelled out, because that of the present version may change later."""
    connection.execute(DDL(f"CREATE TABLE {definition}"))  # type: ignore[no-untyped-call]


def _add_column(connection: Connection, table: str, column: Column[Any]) -> None:
    """Add a column at the end of a table; the definition is spelled out, for that in `runs` may change later."""
    definition = CreateColumn(column).compile(connection)
    connection.execute(DDL(f"ALTER TABLE {table} ADD COLUMN {definition}"))  # type: ignore[no-untyped-call]


MIGRATIONS: Final[dict[int, Callable[[Connection], None]]] = {1: _to_2, 2: _to_3, 3: _to_4}
"""What brings the tables from a version to the next one."""


def version_of(connection: Connection) -> int | None:
    """Return the version of the tables in a database, or None where there are none."""
    if not inspect(connection).has_table(schema.name):
        return None
    version: int | None = connection.execute(select(schema.c.version)).scalar()
    return version


def refuse_newer(store: str, connection: Connection) -> None:
    """Raise `StoreError` if the tables were written by a later release."""
    version = version_of(connection)
    if version is not None and version > VERSION:
        problem = f"it has schema version {version}, and this release knows versions up to {VERSION}"
        raise StoreError(store, problem, "upgrade langgraph-task-scheduler, or use another database")


def upgrade(connection: Connection) -> None:
    """Create the tables, or bring older ones to `VERSION`, in the transaction in progress."""
    version = version_of(connection)
    if version is None:
        _create(connection)
        return
    while version < VERSION:
        MIGRATIONS[version](connection)
        version += 1
        connection.execute(schema.update().values(version=version))
