"""PostgreSQL: a bounded pool, one writer at a time, and what its errors mean to the caller."""

import contextlib
import os
import weakref
from collections.abc import Iterator
from typing import Final

from sqlalchemy import URL, Connection, create_engine, func, select
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from scheduler.errors import StoreError
from scheduler.store.engine import CALL_TIMEOUT, TRY_AGAIN, refuse_fork
from scheduler.store.schema import refuse_newer, upgrade

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
        weakref.finalize(self, self._engine.dispose)

    @contextlib.contextmanager
    def write(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        with self._translated():
            self._prepare()
            with self._engine.begin() as connection:
                _lock(connection, timeout)
                yield connection

    @contextlib.contextmanager
    def read(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:  # noqa: ARG002 (readers wait for locked tables alone)
        """See `Database`."""
        with self._translated():
            self._prepare()
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection

    def close(self) -> None:
        """See `Database`."""
        self._engine.dispose()

    def _prepare(self) -> None:
        """Create or upgrade the tables once, under the lock that keeps other processes from doing it as well."""
        if self._is_prepared:
            return
        with self._engine.begin() as connection:
            _lock(connection, CALL_TIMEOUT)
            refuse_newer(self.name, connection)
            upgrade(connection)
        self._is_prepared = True

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise refuse_fork(self.name)
        try:
            yield
        except PoolTimeoutError as error:
            problem = f"all {POOL_SIZE} connections were busy for {CALL_TIMEOUT:g} s"
            raise StoreError(self.name, problem, TRY_AGAIN) from error
        except DBAPIError as error:
            # The tables may be gone when the server comes back as another one.
            self._is_prepared = self._is_prepared and not error.connection_invalidated
            raise _store_error(self.name, error) from error


_OPTIONS: Final = (
    f"-c idle_in_transaction_session_timeout={60 * _MILLIS} -c lock_timeout={round(CALL_TIMEOUT * _MILLIS)}"
)


def _lock(connection: Connection, timeout: float) -> None:
    millis = str(max(1, round(timeout * _MILLIS)))
    connection.execute(select(func.set_config("lock_timeout", millis, True)))  # noqa: FBT003 (SQL's own signature)
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _store_error(name: str, error: DBAPIError) -> StoreError:
    if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
        return StoreError(name, "another process has locked it", TRY_AGAIN)
    reason = " ".join(str(error.orig).split())
    mend = "look at the server; nothing was stored" if error.connection_invalidated else "nothing was stored"
    return StoreError(name, f"the database failed ({reason})", mend)
