"""Brings the tables of a store to the present schema version: creates them, or changes those of earlier releases."""

import json
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import DDL, BigInteger, Column, Connection, Integer, Text, inspect, select, text
from sqlalchemy.schema import CreateColumn

from scheduler.errors import StoreError
from scheduler.store.schema import VERSION, clock, metadata, partial_indexes, schema
from scheduler.store.searching import words_of_stored


def _create(connection: Connection) -> None:
    """Create the tables and their indexes."""
    for index, condition in partial_indexes().items():
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


def _to_5(connection: Connection) -> None:
    """Add tags, what a search looks at, whole responses, and the indexes for pages of runs."""
    _create_table(connection, "scheduler_tags (tag TEXT NOT NULL, task_id TEXT NOT NULL, PRIMARY KEY (tag, task_id))")
    _create_table(
        connection, "scheduler_responses (run_id TEXT NOT NULL, response TEXT NOT NULL, PRIMARY KEY (run_id))"
    )
    _add_column(connection, "scheduler_tasks", Column("words", Text))
    found = connection.execute(text("SELECT id, definition FROM scheduler_tasks")).all()
    values = [{"key": row.id, "words": words_of_stored(row.definition)} for row in found]
    if values:
        connection.execute(text("UPDATE scheduler_tasks SET words = :words WHERE id = :key"), values)
    for index in (
        "scheduler_tags_task ON scheduler_tags (task_id)",
        "scheduler_runs_over ON scheduler_runs (status, id) WHERE finished_at IS NOT NULL",
        "scheduler_runs_pending_pages ON scheduler_runs (id) WHERE status = 'pending'",
        "scheduler_runs_waiting_pages ON scheduler_runs (id) WHERE status = 'waiting'",
        "scheduler_runs_skipped ON scheduler_runs (scheduled_at) WHERE status = 'skipped'",
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


MIGRATIONS: Final[dict[int, Callable[[Connection], None]]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5}
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
