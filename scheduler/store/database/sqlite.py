"""SQLite: one writer, a few readers, transactions, and what its errors mean to the caller."""

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from scheduler.errors import StoreError
from scheduler.store.database.interface import CALL_TIMEOUT, TRY_AGAIN, refuse_fork
from scheduler.store.database.semaphore import FairSemaphore
from scheduler.store.database.sqlite_connections import (
    Engines,
    KeptConnection,
    Mode,
    close_all,
    code_of,
    is_busy,
    use_wal,
)
from scheduler.store.database.sqlite_files import (
    Identity,
    check_path,
    create_private,
    has_index,
    has_log,
    identity,
    may_write,
    shown,
    uses_log,
)
from scheduler.store.database.statements import Connection
from scheduler.store.migrations import refuse_newer, upgrade, version_of
from scheduler.store.schema import VERSION

READERS: Final = 4
"""How many threads read a file at once; more of them would only share the GIL."""


class SqliteDatabase:
    """A SQLite file, or a database in memory: kept connections, one for writes and, for a file, some for reads.

    It is opened at its first use, and again at the first use after `close()`; one in memory is empty then.
    """

    def __init__(self, path: Path | None) -> None:
        """Take the file's path, or None for a database in memory. Nothing is opened yet."""
        self.name: str = "in memory" if path is None else shown(path)
        self.is_shared: bool = path is not None
        self.file = path
        self._path = path
        self._pid = os.getpid()
        engines = Engines(path)
        self._writer = KeptConnection(engines)
        self._readers = [] if path is None else [KeptConnection(engines) for _ in range(READERS)]
        # The last one that was used is the first to be used again: others need not be opened.
        self._idle_readers = list(self._readers)
        self._writing, self._reading, self._closing = FairSemaphore(1), FairSemaphore(READERS), threading.Lock()
        self._store_file: Identity | None = None
        """The file in which the tables of this release were found; it counts as being in use until `close()`."""
        weakref.finalize(self, close_all, (self._writer, *self._readers))

    def exists(self) -> bool:
        """See `Database`. Tables that need no upgrade can then be read without a transaction of the writer."""
        if self._path is None or identity(self._path) is None or not self._path.is_file():
            return False
        with self._reader(CALL_TIMEOUT) as (reader, _):
            version = self._open_for_reading(self._path, reader)
            if version != VERSION:
                reader.close()
        return version is not None

    @contextlib.contextmanager
    def write(self, timeout: float = CALL_TIMEOUT) -> Iterator[Connection]:
        """See `Database`."""
        with self._admitted(self._writing, timeout) as deadline, self._errors(self._writer):
            connection = self._writer.connection or self._open_for_writing(deadline)
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
        with self._reader(timeout) as (reader, deadline):
            yield reader.connection or self._opened(self._path, reader, deadline)

    def close(self) -> None:
        """See `Database`. It waits for those who use it, for readers before writers: readers may have to write."""
        with self._closing:
            for _ in self._readers:
                self._reading.acquire()
            self._writing.acquire()
            try:
                self._close_all()
            finally:
                self._writing.release(has_succeeded=True)
                for _ in self._readers:
                    self._reading.release(has_succeeded=True)

    def _close_all(self) -> None:
        close_all(tuple(self._readers))
        if os.getpid() == self._pid:
            self._writer.truncate_log()
        self._writer.close()
        self._store_file = None

    # --- Who uses which connection ---

    @contextlib.contextmanager
    def _admitted(self, semaphore: FairSemaphore, timeout: float) -> Iterator[float]:
        """Wait for other threads; give until when to wait for other processes."""
        if os.getpid() != self._pid:
            raise refuse_fork(self.name)
        deadline = semaphore.acquire(timeout)
        if deadline is None:
            raise StoreError(self.name, f"it was busy for {timeout:g} s", TRY_AGAIN)
        has_failed = False
        try:
            yield deadline
        except StoreError:
            has_failed = True
            raise
        finally:
            semaphore.release(has_succeeded=not has_failed)

    @contextlib.contextmanager
    def _reader(self, timeout: float) -> Iterator[tuple[KeptConnection, float]]:
        """Give a connection for reading, which may not be open, and until when to wait for other processes."""
        with self._admitted(self._reading, timeout) as deadline:
            reader = self._idle_readers.pop()
            try:
                with self._errors(reader):
                    yield reader, deadline
                if reader.has_seen_changes:
                    raise StoreError(self.name, "another process changed it while it was read", "try again")
            finally:
                if reader.mode is not Mode.READ:
                    reader.close()
                self._idle_readers.append(reader)

    @contextlib.contextmanager
    def _errors(self, kept: KeptConnection) -> Iterator[None]:
        """Check that the connection has the right file open, and say database errors in the words of the store."""
        try:
            self._check_file(kept)
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            kept.after_error(is_trusted=is_busy(cause) or self._path is None)
            raise _store_error(self.name, cause) from error

    def _check_file(self, kept: KeptConnection) -> None:
        """Close a file that was replaced by another one; raise an error if there is no file any more."""
        if self._path is None:
            return
        found = identity(self._path)
        if found is None and self._store_file is not None:
            hint = "put it back, or start the program again to begin with an empty store"
            raise StoreError(self.name, "the file was deleted while it was in use", hint)
        kept.close_if_replaced(found)

    # --- Opening ---

    def _opened(self, path: Path, reader: KeptConnection, deadline: float) -> Connection:
        """Open a reader of tables that are those of this release."""
        if may_write(path):
            if identity(path) != self._store_file:
                with self.write(max(0.0, deadline - time.monotonic())):
                    pass
            return reader.open(Mode.READ)
        version = self._open_for_reading(path, reader)
        if version != VERSION or reader.connection is None:
            problem = "there are no tables in it" if version is None else f"it has schema version {version}"
            raise StoreError(self.name, f"it cannot be written, and {problem}", "open it once as a user who may write")
        return reader.connection

    def _open_for_reading(self, path: Path, reader: KeptConnection) -> int | None:
        """Open a reader; return the version of the tables."""
        if may_write(path):
            return self._version(reader, reader.open(Mode.READ))
        if uses_log(path) and not has_index(path):
            return self._open_closed(path, reader)
        try:
            return self._version(reader, reader.open(Mode.READ_ONLY))
        except DBAPIError as error:
            reader.close()
            if code_of(error.orig) not in _NO_LOG or not uses_log(path):
                raise
        return self._open_closed(path, reader)  # as it was at this moment

    def _open_closed(self, path: Path, reader: KeptConnection) -> int | None:
        """Open a file that no process has open, whose log SQLite would create."""
        if has_log(path):
            problem = "some of it is in its write-ahead log, which only a user who may write in the folder can read"
            raise StoreError(self.name, problem, "open it once as such a user, or make the folder writable")
        return self._version(reader, reader.open(Mode.IMMUTABLE))

    def _version(self, reader: KeptConnection, connection: Connection) -> int | None:
        version = version_of(connection.core)
        connection.core.rollback()
        if version == VERSION:
            self._store_file = reader.file
        return version

    def _open_for_writing(self, deadline: float) -> Connection:
        """Open the writer; look at the file before anything in it is changed."""
        if self._path is not None:
            check_path(self._path)
            create_private(self._path)
        connection = self._writer.open(Mode.WRITE)
        try:
            self._writer.set_busy_timeout(deadline - time.monotonic())
            refuse_newer(self.name, connection.core)
            connection.core.rollback()
            if self._path is not None:
                use_wal(connection, deadline)
            with connection.core.begin():
                upgrade(connection.core)
        except BaseException:
            self._writer.close()
            raise
        self._store_file = self._writer.file
        return connection


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


_NO_LOG: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
"""What SQLite says if it would have to create a log and its index beside the file, and may not."""
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
    problem, hint = _MEANINGS.get(code_of(error), ("the database failed", "nothing was stored"))
    return StoreError(name, f"{problem} ({error})", hint)
