"""PostgreSQL: a bounded pool, one writer at a time, and what its errors mean to the caller."""

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import URL, bindparam, create_engine, func, select
from sqlalchemy import Connection as CoreConnection
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from scheduler.errors import StoreError
from scheduler.store.engine import CALL_TIMEOUT, TRY_AGAIN, refuse_fork
from scheduler.store.schema import VERSION, refuse_newer, upgrade, version_of
from scheduler.store.statements import Connection, Statement

POOL_SIZE: Final = 4
"""The most connections that one scheduler opens: one for its passes, the others for calls from other threads."""
_LOCK: Final = 0x7A5C_5C4E_D01E
"""The advisory lock that writers take; any number that nobody else takes will do."""
_MILLIS: Final = 1000
_LOCK_NOT_AVAILABLE: Final = "55P03"


class PostgresDatabase:
    """A PostgreSQL database, through a pool of at most `POOL_SIZE` connections.

    Writers take an advisory lock for the length of their transaction, in all processes: as on SQLite there is one
    writer at a time, and a rule over several rows (no overlap, one start for each due time) needs no lock of its own.
    """

    def __init__(self, url: URL) -> None:
        """Take the URL of the database; nothing is opened yet. Raises `StoreError` if the driver is missing."""
        self.name = url.render_as_string(hide_password=True)
        self.is_shared = True
        self._pid = os.getpid()
        self._is_prepared = False
        try:
            self._engine = create_engine(
                url,
                pool_size=POOL_SIZE,
                max_overflow=0,
                pool_timeout=CALL_TIMEOUT,
                pool_pre_ping=True,
                connect_args={"connect_timeout": round(CALL_TIMEOUT), "options": _OPTIONS},
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            mend = "pip install 'langgraph-task-scheduler[postgres]'"
            raise StoreError(self.name, f"its driver cannot be imported ({error})", mend) from error
        self._viewing = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        weakref.finalize(self, self._engine.dispose)

    def exists(self) -> bool:
        """See `Database`."""
        with self._connected(self._viewing.connect, prepare=False) as connection:
            version = version_of(connection.core)
        self._is_prepared = version == VERSION
        return version is not None

    @contextlib.contextmanager
    def write(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        with self._connected(self._engine.begin) as connection:
            _lock(connection, timeout)
            yield connection
            if connection.is_undone:
                connection.core.rollback()

    @contextlib.contextmanager
    def read(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:  # noqa: ARG002 (readers wait for locked tables alone)
        """See `Database`."""
        with self._connected(self._viewing.connect) as connection:
            yield connection

    def close(self) -> None:
        """See `Database`."""
        self._engine.dispose()

    def _prepare(self) -> None:
        """Create or upgrade the tables once, under the lock that keeps other processes from doing it as well."""
        if self._is_prepared:
            return
        with self._engine.begin() as core:
            _lock(Connection(core), CALL_TIMEOUT)
            refuse_newer(self.name, core)
            upgrade(core)
        self._is_prepared = True

    @contextlib.contextmanager
    def _connected(
        self, connect: Callable[[], contextlib.AbstractContextManager[CoreConnection]], *, prepare: bool = True
    ) -> Iterator[Connection]:
        """Give a connection of the pool, with database errors said in the words of the store."""
        if os.getpid() != self._pid:
            raise refuse_fork(self.name)
        try:
            if prepare:
                self._prepare()
            with connect() as core:
                connection = Connection(core)
                try:
                    yield connection
                except self._driver_error as error:
                    if connection.driver.closed:
                        core.invalidate(error)
                    raise
        except PoolTimeoutError as error:
            problem = f"all {POOL_SIZE} connections were busy for {CALL_TIMEOUT:g} s"
            raise StoreError(self.name, problem, TRY_AGAIN) from error
        except (DBAPIError, self._driver_error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            is_gone = error.connection_invalidated if isinstance(error, DBAPIError) else connection.driver.closed
            # The tables may be gone when the server comes back as another one.
            self._is_prepared = self._is_prepared and not is_gone
            raise _store_error(self.name, cause, is_gone=is_gone) from error


_OPTIONS: Final = (
    f"-c idle_in_transaction_session_timeout={60 * _MILLIS} -c lock_timeout={round(CALL_TIMEOUT * _MILLIS)}"
)


def _lock(connection: Connection, timeout: float) -> None:
    connection.execute(_TAKE_LOCK, {"millis": str(max(1, round(timeout * _MILLIS)))})


# One round trip; the list of a SELECT is computed from left to right.
_TAKE_LOCK: Final = Statement(
    lambda: select(
        func.set_config("lock_timeout", bindparam("millis"), True),  # noqa: FBT003 (SQL's own signature)
        func.pg_advisory_xact_lock(_LOCK),
    )
)


def _store_error(name: str, error: BaseException | None, *, is_gone: bool) -> StoreError:
    if getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
        return StoreError(name, "another process has locked it", TRY_AGAIN)
    reason = " ".join(str(error).split())
    mend = "look at the server; nothing was stored" if is_gone else "nothing was stored"
    return StoreError(name, f"the database failed ({reason})", mend)
