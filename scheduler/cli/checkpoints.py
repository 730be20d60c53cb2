"""Where `serve` keeps what graphs remember: LangGraph's saver and store, which are open while the scheduler runs."""

import asyncio
import importlib
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scheduler.cli.errors import CommandError, ExitCode
from scheduler.errors import GraphError
from scheduler.graph_names import DEFAULT_GRAPH
from scheduler.graphs.factories import GraphFactory
from scheduler.graphs.loading import load_graph
from scheduler.graphs.wrapped import takes_checkpointer
from scheduler.store.database.address import is_postgres, is_url, libpq_url
from scheduler.store.database.sqlite_files import create_private, shown
from scheduler.store.database.storable import odd_character

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

VARIABLE: Final = "SCHEDULER_CHECKPOINTS"
STORE_VARIABLE: Final = "SCHEDULER_STORE"
_CONNECTIONS: Final = 4
_LOCK: Final = 0x7A5C_5C4E_D01F
"""The advisory lock of who creates the tables; any number that nobody else takes will do."""
_TRY_LOCK: Final = f"SELECT pg_try_advisory_xact_lock({_LOCK}) AS mine"
_LOCK_SECONDS: Final = 0.1
_LONGEST_LOCK_SECONDS: Final = 60.0
"""How long another process may take to create or upgrade the tables. Every role that may connect can hold the lock."""


def beside(store: dict[str, Any], graph: str) -> str | None:
    """Return the file beside a store in a file, as main.py has it; None where the graph takes no saver, or has one.

    `store` is what `store_arguments` returns. Raises `GraphError`.
    """
    path: Path | None = store.get("db_path")
    if path is None or not _takes_saver(graph):
        return None
    return str(path.with_suffix(".checkpoints.db"))


def _takes_saver(graph: str) -> bool:
    """Tell whether a graph takes a saver, or may: one that a function makes, and those of tasks if none is named."""
    try:
        found = load_graph(graph, needs_messages=False)
        return isinstance(found, GraphFactory) or takes_checkpointer(found)
    except GraphError:
        if graph == DEFAULT_GRAPH:
            return True  # whether it is needed is seen at the start
        raise


@dataclass(frozen=True, slots=True)
class _Kept:
    """What LangGraph keeps for graphs: the option that says where, and what opens it in each kind of place."""

    option: str
    sqlite: tuple[str, str]
    postgres: tuple[str, str]


_SAVER: Final = _Kept(
    "--checkpoints",
    ("langgraph.checkpoint.sqlite.aio", "AsyncSqliteSaver"),
    ("langgraph.checkpoint.postgres.aio", "AsyncPostgresSaver"),
)
_STORE: Final = _Kept(
    "--store",
    ("langgraph.store.sqlite.aio", "AsyncSqliteStore"),
    ("langgraph.store.postgres.aio", "AsyncPostgresStore"),
)


def opened_saver(place: str | None) -> AbstractAsyncContextManager[object | None]:
    """Open the saver on an SQLite file or a PostgreSQL URL. Raises `CommandError` if it cannot be."""
    return _opened(_SAVER, place)


def opened_store(place: str | None) -> AbstractAsyncContextManager[object | None]:
    """Open what graphs remember across conversations, in the same ways."""
    return _opened(_STORE, place)


@asynccontextmanager
async def _opened(kept: _Kept, place: str | None) -> AsyncIterator[object | None]:
    if place is None:
        yield None
    elif is_postgres(place):
        try:
            url = libpq_url(place)
        except ValueError as error:
            raise CommandError(f"{kept.option} {error}", ExitCode.USAGE) from None
        async with _postgres(kept, url) as opened:
            yield opened
    elif is_url(place):
        raise CommandError(
            f"{kept.option} is no path, and no URL of PostgreSQL; give a path, or postgresql://…", ExitCode.USAGE
        )
    else:
        async with _sqlite(kept, place) as opened:
            yield opened


def _class(named: tuple[str, str]) -> Any:  # noqa: ANN401 (imported here: other commands do not pay for it)
    module, name = named
    return getattr(importlib.import_module(module), name)


@asynccontextmanager
async def _sqlite(kept: _Kept, place: str) -> AsyncIterator[object]:
    opens = _class(kept.sqlite)
    _look_at(kept, place)
    async with opens.from_conn_string(place) as opened:
        await opened.setup()
        yield opened


def _look_at(kept: _Kept, place: str) -> None:
    """Refuse a file that cannot be used, before a driver's thread is started on it, whose errors are tracebacks."""
    file = shown(Path(place))
    letter = odd_character(Path(place).name)
    if letter is not None and not os.path.exists(place):  # noqa: PTH110 (False also for what cannot be a path)
        raise CommandError(f"{kept.option} {file}: the name of the file has the character {letter!a}; leave it out")
    if place != ":memory:" and Path(place).parent.is_dir():
        create_private(Path(place))
    try:
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("PRAGMA schema_version")
    except (sqlite3.Error, ValueError) as error:
        raise CommandError(f"{kept.option} {file}: {error}; name another file") from error


@asynccontextmanager
async def _postgres(kept: _Kept, url: str) -> AsyncIterator[object]:
    """Open a pool, so that it outlives a restart of the server. No error shows the URL: it has a password."""
    try:
        import psycopg  # noqa: PLC0415 (other commands do not pay for it)
        from psycopg.rows import dict_row  # noqa: PLC0415
        from psycopg_pool import AsyncConnectionPool, PoolTimeout  # noqa: PLC0415

        opens = _class(kept.postgres)
    except ImportError as error:
        hint = "pip install langgraph-checkpoint-postgres 'psycopg[binary]'"
        raise CommandError(f"{kept.option} on PostgreSQL: {error}; {hint}") from error
    pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
        url,
        max_size=_CONNECTIONS,
        open=False,
        # No prepared statements: a pooler may give the next statement to another connection of the server.
        kwargs={"autocommit": True, "prepare_threshold": None, "row_factory": dict_row},
        check=_check,
    )
    try:
        async with pool:
            await pool.wait(timeout=10)
            opened = opens(pool)
            async with pool.connection() as guard, _alone(kept, guard):
                await opened.setup()
            yield opened
    except (psycopg.Error, PoolTimeout) as error:
        raise CommandError(f"{kept.option} on PostgreSQL: {error}") from error


async def _check(connection: "AsyncConnection[DictRow]") -> None:
    """Raise an error if a connection of the pool is lost, or leads to a server that is a standby since a failover."""
    from psycopg import OperationalError  # noqa: PLC0415 (see above)

    answer = await (await connection.execute("SELECT pg_is_in_recovery() AS is_standby")).fetchone()
    if answer and answer["is_standby"]:
        message = "the server is a standby, on which nothing can be written"
        raise OperationalError(message)


@asynccontextmanager
async def _alone(kept: _Kept, guard: "AsyncConnection[DictRow]") -> AsyncIterator[None]:
    """Hold a lock while the tables are created: processes that start together would create them twice.

    The lock belongs to a transaction, since a pooler may give the next one to another session. Indexes that are built
    concurrently wait for every transaction that has a snapshot. So no statement waits for the lock, the isolation level
    keeps no snapshot, and the statement has no parameters, with which its result would stay open, too.
    """
    from psycopg import IsolationLevel  # noqa: PLC0415 (see above)

    await guard.set_isolation_level(IsolationLevel.READ_COMMITTED)
    deadline = asyncio.get_running_loop().time() + _LONGEST_LOCK_SECONDS
    while True:
        async with guard.transaction():
            answer = await (await guard.execute(_TRY_LOCK)).fetchone()
            if answer and answer["mine"]:
                yield
                return
        if asyncio.get_running_loop().time() > deadline:
            problem = f"another session has held the lock on the tables for {_LONGEST_LOCK_SECONDS:g} s"
            raise CommandError(f"{kept.option} on PostgreSQL: {problem}; look in pg_locks for advisory locks")
        await asyncio.sleep(_LOCK_SECONDS)
