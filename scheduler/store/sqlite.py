"""SQLite: kept connections, pragmas, transactions, and what its errors mean to the caller."""

import contextlib
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, NullPool, create_engine, event
from sqlalchemy import Connection as CoreConnection
from sqlalchemy.exc import DBAPIError

from scheduler.errors import StoreError
from scheduler.store.engine import CALL_TIMEOUT, TRY_AGAIN, refuse_fork
from scheduler.store.schema import VERSION, refuse_newer, upgrade, version_of
from scheduler.store.statements import Connection


class SqliteDatabase:
    """A SQLite file, or a database in memory: one kept connection for writes and, for a file, one for reads.

    It is opened at its first use, and again at the first use after `close()`; one in memory begins empty then.
    """

    def __init__(self, path: Path | None) -> None:
        """Take the file's path, or None for a database in memory. Nothing is opened yet."""
        self.name = "in memory" if path is None else str(path)
        self.is_shared = path is not None
        self.file = path
        self._path = path
        self._pid = os.getpid()
        self._writer = _Kept(_engine(path, write=True))
        self._reader = self._writer if path is None else _Kept(_engine(path, write=False))
        weakref.finalize(self, _close_all, (self._writer, self._reader))

    def exists(self) -> bool:
        """See `Database`. Tables that need no upgrade can then be read without a transaction of the writer."""
        if self._path is None or not self._path.is_file():
            return False
        with self._held(self._reader, CALL_TIMEOUT):
            core = self._reader.connect(self._path).core
            version = version_of(core)
            core.rollback()
            if version != VERSION:
                self._reader.close()
        return version is not None

    @contextlib.contextmanager
    def write(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        deadline = time.monotonic() + timeout
        with self._held(self._writer, timeout):
            connection = self._writer.connection or self._prepare(deadline)
            self._writer.set_busy_timeout(deadline - time.monotonic())
            with _transaction(connection):
                yield connection

    @contextlib.contextmanager
    def read(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        if self._path is None:
            with self.write(timeout) as connection:
                yield connection
            return
        with self._held(self._reader, timeout):
            yield self._reader.connection or self._open_reader(timeout)

    def close(self) -> None:
        """See `Database`. Always the reader's lock before the writer's, as in `read`."""
        for kept in {id(kept): kept for kept in (self._reader, self._writer)}.values():
            with kept.lock:
                kept.close()

    def _open_reader(self, timeout: float) -> Connection:
        with self.write(timeout):
            pass
        return self._reader.connect(self._path)

    def _prepare(self, deadline: float) -> Connection:
        """Open the writer; look at the file before anything in it is changed."""
        if self._path is not None:
            _refuse_path(self._path)
        connection = self._writer.connect(self._path)
        try:
            self._writer.set_busy_timeout(deadline - time.monotonic())
            refuse_newer(self.name, connection.core)
            connection.core.rollback()
            if self._path is not None:
                _use_wal(connection, deadline)
            with connection.core.begin():
                upgrade(connection.core)
        except BaseException:
            self._writer.close()
            raise
        return connection

    @contextlib.contextmanager
    def _held(self, kept: "_Kept", timeout: float) -> Iterator[None]:
        """Hold one connection's lock, with database errors said in the words of the store."""
        if os.getpid() != self._pid:
            raise refuse_fork(self.name)
        if not kept.lock.acquire(timeout=timeout):
            raise StoreError(self.name, f"it was busy for {timeout:g} s", TRY_AGAIN)
        try:
            kept.close_if_replaced(self._path)
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            kept.after_error(is_trusted=_is_busy(cause) or self._path is None)
            raise _store_error(self.name, cause) from error
        finally:
            kept.lock.release()


class _Kept:
    """A connection that is kept from call to call, its lock, and which file it has open."""

    def __init__(self, engine: Engine) -> None:
        self.lock = threading.Lock()
        self.connection: Connection | None = None
        self._engine = engine
        self._file: tuple[int, int] | None = None
        self._busy_timeout = -1

    def connect(self, path: Path | None) -> Connection:
        self.connection = Connection(self._engine.connect())
        self._file = None if path is None else _identity(path)
        self._busy_timeout = -1
        return self.connection

    def set_busy_timeout(self, seconds: float) -> None:
        """Let SQLite wait so long for other processes, to a tenth of a second."""
        tenths = max(0, round(seconds * 10))
        if tenths != self._busy_timeout and self.connection is not None:
            self.connection.driver.cursor().execute(f"PRAGMA busy_timeout = {tenths * 100:d}").close()
            self._busy_timeout = tenths

    def close_if_replaced(self, path: Path | None) -> None:
        """Let go of a file that another one has taken the place of; refuse to go on without any."""
        if path is None or self.connection is None:
            return
        found = _identity(path)
        if found is None:
            mend = "put it back, or start the program again to begin with an empty store"
            raise StoreError(str(path), "the file was deleted while it was in use", mend)
        if found != self._file:
            self.close()

    def after_error(self, *, is_trusted: bool) -> None:
        """Leave no transaction open.

        A connection that failed for another reason than a lock is not trusted again. One in memory is all there is of
        its database, and stays.
        """
        if self.connection is None or self.connection.core.invalidated:
            return
        if not is_trusted:
            self.close()
        elif self.connection.driver.in_transaction:
            self.connection.driver.rollback()

    def close(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            with contextlib.suppress(DBAPIError, sqlite3.Error):
                if connection.driver.in_transaction:
                    connection.driver.rollback()
                connection.core.close()


def _close_all(connections: tuple[_Kept, ...]) -> None:
    for kept in connections:
        kept.close()


def _engine(path: Path | None, *, write: bool) -> Engine:
    url = URL.create("sqlite", database=None if path is None else str(path))
    arguments = {"check_same_thread": False, "timeout": CALL_TIMEOUT}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments, paramstyle="named")
    event.listen(engine, "connect", _take_over_transactions)
    if write:
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _take_over_transactions(connection: Any, _record: object) -> None:  # noqa: ANN401 (a driver's own object)
    # The driver would begin deferred transactions, whose upgrade to a write can deadlock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_immediate(connection: CoreConnection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextlib.contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """Begin, and commit if nothing is raised."""
    driver, connection.is_undone = connection.driver, False
    driver.cursor().execute("BEGIN IMMEDIATE").close()
    try:
        yield
    except BaseException:
        driver.rollback()
        raise
    if connection.is_undone:
        driver.rollback()
    else:
        driver.commit()


def _use_wal(connection: Connection, deadline: float) -> None:
    """Switch the file to write-ahead logging, which lets readers go on; the switch does not wait by itself."""
    while True:
        try:
            connection.driver.cursor().execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _refuse_path(path: Path) -> None:
    if not path.parent.is_dir():
        raise StoreError(str(path), f"the folder {path.parent} does not exist", "create it, or give another db_path")
    if path.is_dir():
        raise StoreError(str(path), "it is a folder", "give the path of a file in it as db_path")
    if path.exists() and not (path.stat().st_mode & _WRITE_BITS and os.access(path, os.W_OK)):
        raise StoreError(str(path), "the file is read-only", "make it writable, or give another db_path")


_WRITE_BITS: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (half the time of Path.stat, at every call)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _code(error: BaseException | None) -> int:
    # The primary code is in the lowest eight bits, what follows narrows it down.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_busy(error: BaseException | None) -> bool:
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


_MEANINGS: Final = {
    sqlite3.SQLITE_BUSY: ("another process has locked it", TRY_AGAIN),
    sqlite3.SQLITE_LOCKED: ("another connection has locked it", TRY_AGAIN),
    sqlite3.SQLITE_NOTADB: ("the file is no SQLite database", "give another db_path; the file was left as it is"),
    sqlite3.SQLITE_READONLY: ("it cannot be written", "make the file and its folder writable"),
    sqlite3.SQLITE_PERM: ("it cannot be written", "make the file and its folder writable"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "make the file and its folder readable and writable"),
    sqlite3.SQLITE_FULL: ("the disk is full", "make room; nothing was stored"),
    sqlite3.SQLITE_IOERR: ("the disk reported an error", "look at the disk; nothing was stored"),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", "restore a copy, or salvage it with sqlite3's .recover"),
}


def _store_error(name: str, error: BaseException | None) -> StoreError:
    problem, mend = _MEANINGS.get(_code(error), ("the database failed", "nothing was stored"))
    return StoreError(name, f"{problem} ({error})", mend)
