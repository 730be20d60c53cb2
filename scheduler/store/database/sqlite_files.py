"""The file of an SQLite database: whether it can be one, which file it is, and what can be done with it."""

import errno
import os
import stat
from pathlib import Path
from typing import Final, TypeAlias

from scheduler.errors import StoreError
from scheduler.redaction import beginning
from scheduler.store.database.storable import odd_character

Identity: TypeAlias = tuple[int, int]
"""Device and inode: another file in the same place has another one."""
Snapshot: TypeAlias = tuple[int, int, int, int]

_WRITE_BITS: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_HEADER_LENGTH, _FORMAT, _LOG_FORMAT = 20, slice(18, 20), b"\x02\x02"
"""Where SQLite's header has the version of the file's format, for writing and reading, and which one has a log."""
_NAME_LIMIT: Final = 255
"""The longest name that file systems allow, in bytes."""


def shown(path: Path) -> str:
    """Return a path for messages; what cannot be printed is escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def identity(path: Path) -> Identity | None:
    """Return which file is there, or None. Raises `StoreError` if no file can have this path."""
    try:
        found = os.stat(path)  # noqa: PTH116 (half the time of Path.stat, at every call)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _no_such_path(path, error) from None
    return found.st_dev, found.st_ino


def _no_such_path(path: Path, error: OSError | ValueError) -> StoreError:
    if isinstance(error, UnicodeError):
        return _refused(path, "the path has half of a surrogate pair, which is no character", "give another db_path")
    if isinstance(error, ValueError):
        return _refused(path, "the path has a NUL character", "give a db_path without it")
    if error.errno == errno.ENAMETOOLONG:
        return _refused(path, "the path is too long for the file system", "give a shorter db_path")
    return _refused(path, f"it cannot be looked up ({error.strerror})", "check the path and the rights of its folders")


def _refused(path: Path, problem: str, hint: str) -> StoreError:
    name = shown(path)
    return StoreError(name if len(name) <= _NAME_LIMIT else f"{beginning(name, _NAME_LIMIT)}…", problem, hint)


def check_path(path: Path) -> None:
    """Raise `StoreError` if no store can be opened, and changed, at a path."""
    if identity(path) is None:
        _check_new(path)
    elif path.is_dir():
        raise _refused(path, "it is a folder", "give the path of a file in it as db_path")
    elif not path.is_file():
        raise _refused(path, "it is not a regular file", "give another db_path")
    elif not (path.stat().st_mode & _WRITE_BITS and os.access(path, os.W_OK)):
        raise _refused(path, "the file is read-only", "make it writable, or give another db_path")


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read and write; SQLite gives its log the same mode.

    One that is there already keeps its mode. Raises `StoreError` if a link is there that leads to no file: whoever
    put it there would choose where the store lies.
    """
    if path.is_symlink() and not path.exists():
        problem = f"it is a link to {shown(path.readlink())}, where no file is"
        raise _refused(path, problem, "remove the link, or create the file that it leads to")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise _refused(path, f"it cannot be created ({error.strerror})", "make its folder writable") from error


def _check_new(path: Path) -> None:
    """Refuse to create a file that nobody means. One that is there already is opened whatever its name."""
    if path.name == ":memory:":
        hint = "use TaskScheduler(persistent=False) for a store in memory, or give the path of a file as db_path"
        raise _refused(path, "this is no name for a file", hint)
    if not path.parent.is_dir():
        folder = shown(path.parent)
        raise _refused(path, f"the folder {folder} does not exist", "create it, or give another db_path")
    letter = odd_character(path.name)
    if letter is not None:
        problem = f"the name of the file has the character {letter!a}"
        raise _refused(path, problem, "give a db_path without it, such as one without the end of its line")


def may_write(path: Path) -> bool:
    """Tell whether this process may change a file, and create others beside it, as write-ahead logging does."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def uses_log(path: Path) -> bool:
    """Tell whether a file says that changes are written to a log first, as every store does that was ever opened."""
    try:
        with path.open("rb") as file:
            return file.read(_HEADER_LENGTH)[_FORMAT] == _LOG_FORMAT
    except OSError:
        return False


def has_log(path: Path) -> bool:
    """Tell whether there are changes that are not in the file itself, but in its write-ahead log."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def has_index(path: Path) -> bool:
    """Tell whether the index of a write-ahead log is there: a process has the file open, or was killed.

    A reader without it would create one, which belonged to the wrong user and would be left behind.
    """
    return path.with_name(f"{path.name}-shm").exists()


def snapshot(path: Path) -> Snapshot | None:
    """Return what differs once the file has been changed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
