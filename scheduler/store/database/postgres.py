"""PostgreSQL: a bounded pool, one writer at a time, and what its errors mean to the caller."""

import contextlib
import os
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Engine, ExceptionContext, bindparam, column, create_engine, event, func, select, table
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from scheduler.errors import StoreError
from scheduler.redaction import redact, secrets_in, shown_url
from scheduler.store.database.interface import CALL_TIMEOUT, TRY_AGAIN, refuse_fork
from scheduler.store.database.semaphore import FairSemaphore
from scheduler.store.database.statements import Connection, Statement
from scheduler.store.migrations import refuse_newer, upgrade, version_of
from scheduler.store.schema import VERSION, metadata

if TYPE_CHECKING:
    from pathlib import Path

POOL_SIZE: Final = 4
"""The most connections that one scheduler opens: one for its passes, the others for calls from other threads."""
_LOCK: Final = "langgraph-task-scheduler"
"""What the advisory lock of writers is made of, with the schema; PostgreSQL keeps the locks of each database apart."""
_FIND_LOCK: Final = f"{TRY_AGAIN}; if it lasts, look in pg_locks for a session that holds an advisory lock"
_MILLIS: Final = 1000
_IDLE_TIMEOUT: Final = 60 * _MILLIS
"""When the server ends a transaction in which nothing happens, such as that of a process that was suspended."""
_PREPARE_AFTER: Final = 5
"""A statement is prepared on the server after so many executions on a connection."""


class PostgresDatabase:
    """A PostgreSQL database, through a pool of at most `POOL_SIZE` connections.

    Writers take an advisory lock for the length of their transaction, in all processes: as on SQLite there is one
    writer at a time, and a rule over several rows (no overlap, one start for each due time) needs no lock of its own.

    A connection can lead to a pooler that gives each transaction to any of its own connections to the server, such as
    PgBouncer. So no options are sent when a connection is opened but those of the URL, and every setting ends with its
    transaction.
    """

    def __init__(self, url: URL, trusted_owner: str | None = None) -> None:
        """Take the URL of the database, and whose tables are used beside those of the own role.

        Nothing is opened yet. Raises `StoreError` if the driver is missing.
        """
        text = url.render_as_string(hide_password=False)
        self.name: str = shown_url(text)
        self._secrets = secrets_in(text)
        self._trusted_owner = trusted_owner
        self._is_owner_known = False
        self.is_shared = True
        self.file: Path | None = None
        self._pid = os.getpid()
        self._has_tables = False
        self._is_pooled = False
        self._places = FairSemaphore(POOL_SIZE)
        self._generation = _Generation()
        try:
            self._engine = _engine(url, self._generation)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            hint = "pip install 'langgraph-task-scheduler[postgres]'"
            raise StoreError(self.name, f"its driver cannot be imported ({error})", hint) from error
        # Each transaction says what it is: the defaults of a server, database or role may be others.
        self._writing = self._engine.execution_options(postgresql_readonly=False)
        self._reading = self._engine.execution_options(postgresql_readonly=True)
        self._driver = self._engine.dialect.loaded_dbapi
        weakref.finalize(self, self._engine.dispose)

    def exists(self) -> bool:
        """See `Database`."""
        return self._version() is not None

    @contextlib.contextmanager
    def write(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        self._create_tables()
        with self._transaction(self._writing, timeout) as connection:
            self._begin(connection, _BEGIN_WRITING, timeout)
            self._check_owner(connection)
            yield connection
            if connection.is_undone:
                connection.core.rollback()

    @contextlib.contextmanager
    def read(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        self._create_tables()
        with self._transaction(self._reading, timeout) as connection:
            self._begin(connection, _BEGIN, timeout)
            yield connection

    def close(self) -> None:
        """See `Database`."""
        self._engine.dispose()

    def _create_tables(self) -> None:
        """Create or upgrade the tables once, under the lock that keeps other processes from doing it as well."""
        if self._has_tables or self._version() == VERSION:
            return
        with self._transaction(self._writing) as connection:
            self._begin(connection, _BEGIN_WRITING, CALL_TIMEOUT)
            refuse_newer(self.name, connection.core)
            upgrade(connection.core)
        self._has_tables = True

    def _version(self) -> int | None:
        with self._transaction(self._reading) as connection:
            self._begin(connection, _BEGIN, CALL_TIMEOUT)
            version = version_of(connection.core)
        self._has_tables = version == VERSION
        return version

    def _check_owner(self, connection: Connection) -> None:
        """Refuse to work with tables of another role: a row can name code to run, and their owner can write rows.

        Reading alone runs no code. Once is enough for a connection's tables: whoever could change their owner later has
        all rights here.
        """
        if self._is_owner_known:
            return
        for row in connection.execute(_OWNERS, {"names": [each.name for each in metadata.sorted_tables]}):
            if row.owner not in {row.me, self._trusted_owner}:
                problem = f"its tables belong to the role {row.owner!r}, and this program is {row.me!r}"
                hint = f"give trusted_owner={row.owner!r} if that role may run code here, or use a schema of your own"
                raise StoreError(self.name, problem, hint)
        self._is_owner_known = True

    @contextlib.contextmanager
    def _transaction(self, engine: Engine, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """Give a connection of the pool in a transaction; what goes wrong with it becomes a `StoreError`."""
        if os.getpid() != self._pid:
            raise refuse_fork(self.name)
        if self._places.acquire(timeout) is None:
            raise StoreError(self.name, f"all {POOL_SIZE} connections were busy for {timeout:g} s", TRY_AGAIN)
        has_failed = False
        try:
            # It ends with COMMIT even if it has only read: after ROLLBACK, psycopg forgets its prepared statements.
            with engine.begin() as core:
                connection = Connection(core)
                try:
                    yield connection
                except self._driver.Error as error:
                    if connection.driver.closed or is_disconnect(error):
                        core.invalidate(error)
                    raise
        except (DBAPIError, self._driver.Error) as error:
            has_failed = True
            raise self._failure(error) from error
        finally:
            self._places.release(has_succeeded=not has_failed)

    def _begin(self, connection: Connection, statement: Statement, timeout: float) -> None:
        """Make the settings of a transaction, take the lock if it is a writer's, and see which server has it.

        Prepared statements take a third off a pass (claims of 32 runs: 29 ms without, 20 ms with), but belong to one
        connection of the server: whoever finds that a transaction came to another one than was opened does without.
        """
        driver = connection.driver
        driver.prepare_threshold = None
        millis = str(max(1, round(timeout * _MILLIS)))
        [row] = connection.execute(statement, {"lock_timeout": millis})
        self._is_pooled = self._is_pooled or row.server_process != driver.info.backend_pid
        driver.prepare_threshold = None if self._is_pooled else _PREPARE_AFTER

    def _failure(self, error: Exception) -> StoreError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None)
        is_lost = state is None and isinstance(cause, (self._driver.OperationalError, self._driver.InterfaceError))
        is_gone = is_lost or is_disconnect(cause)
        self._is_pooled = self._is_pooled or state in _LOST_STATEMENT
        if is_gone:
            # The tables may be gone when the server comes back as another one.
            self._has_tables = self._is_owner_known = False
            self._generation.start_next()
        if state == _LOCK_NOT_AVAILABLE:
            return StoreError(self.name, "another session has locked it", _FIND_LOCK)
        reason = redact(" ".join(str(cause).split()), self._secrets)
        hint = "look at the server; nothing was stored" if is_gone else "nothing was stored"
        return StoreError(self.name, f"the database failed ({reason})", hint)


class _Generation:
    """The connections that can be used: those that were opened after the last one was lost.

    After a failover, older ones can lead to the old server, where reads still succeed.
    """

    def __init__(self) -> None:
        self._since = 0.0

    def start_next(self) -> None:
        """Stop using the connections that are open now."""
        self._since = time.monotonic()

    def opened(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        """Note when a connection was opened."""
        entry.info["opened"] = time.monotonic()

    def check(self, _connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        """Have SQLAlchemy open another connection if this one is too old."""
        if entry.info["opened"] <= self._since:
            raise InvalidatePoolError


def _engine(url: URL, generation: _Generation) -> Engine:
    arguments = {name: value for name, value in _DEFAULTS.items() if name not in url.query}
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=CALL_TIMEOUT,
        pool_pre_ping=True,
        # Elsewhere, the statement that waits for the lock would see the tables as they were before its wait.
        isolation_level="READ COMMITTED",
        use_native_hstore=False,
        connect_args={**arguments, "prepare_threshold": None},
    )
    event.listen(engine, "connect", generation.opened)
    event.listen(engine, "checkout", generation.check)
    event.listen(engine, "handle_error", _note_disconnect)
    return engine


_DEFAULTS: Final[Mapping[str, Any]] = {
    "connect_timeout": round(CALL_TIMEOUT),
    # The encoding of the database may be one that psycopg has no texts for. Poolers know this parameter.
    "client_encoding": "utf8",
    # A server that vanishes, with its machine or its network, is noticed within 15 seconds instead of two hours.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15 * _MILLIS,
}
"""Parameters of libpq that the URL may set otherwise."""


def _note_disconnect(context: ExceptionContext) -> None:
    context.is_disconnect = context.is_disconnect or is_disconnect(context.original_exception)


# One round trip; the list of a SELECT is computed from left to right.
_SETTINGS: Final = (
    func.set_config("idle_in_transaction_session_timeout", str(_IDLE_TIMEOUT), True),  # noqa: FBT003 (SQL's own signature)
    func.set_config("lock_timeout", bindparam("lock_timeout"), True),  # noqa: FBT003
    func.pg_backend_pid().label("server_process"),
)
_BEGIN: Final = Statement(lambda: select(*_SETTINGS))
_BEGIN_WRITING: Final = Statement(
    lambda: select(
        *_SETTINGS,
        func.pg_advisory_xact_lock(func.hashtextextended(func.concat(_LOCK, " ", func.current_schema()), 0)),
    )
)
_OWNERS: Final = Statement(
    lambda: (
        # Of whatever the names lead to, also a view, and in whichever schema of the search path.
        select(func.pg_get_userbyid(column("relowner")).label("owner"), func.current_user().label("me"))
        .select_from(table("pg_class", column("oid"), column("relowner"), column("relname")))
        .where(
            column("relname").in_(bindparam("names", expanding=True)),
            func.pg_table_is_visible(column("oid")),
        )
    )
)

_LOCK_NOT_AVAILABLE: Final = "55P03"
_READ_ONLY: Final = frozenset({"25006", "0A000"})
"""What a server says that is a standby: to a change, and to a transaction that is to make changes."""
_LOST_STATEMENT: Final = frozenset({"26000", "42P05"})
"""A prepared statement is not there, or there already: the transaction has come to another connection of a pooler."""


def is_disconnect(error: BaseException | None) -> bool:
    """Tell whether an error is about a connection, which is of no use any more, rather than about a statement."""
    state = getattr(error, "sqlstate", None) or ""
    return state in _READ_ONLY | _LOST_STATEMENT or state.startswith(("08", "57P"))
