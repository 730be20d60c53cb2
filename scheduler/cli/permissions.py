"""Which files of a project other users of the machine can read or change."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_to_others(store: Path | None, tasks_file: Path) -> Iterator[tuple[bool, str]]:
    """Yield each file that others can change (True) or read (False), with a sentence: store, conversations, tasks file.

    The tasks file may be read by everybody, but neither it nor its folder may be changed: it names code. Nothing is
    said on systems without POSIX modes, and of files that are not there.
    """
    if os.name != "posix":
        return
    if store is not None:
        own = [store, *(store.with_name(f"{store.name}{end}") for end in ("-wal", "-shm"))]
        for file in [*own, store.with_suffix(".checkpoints.db")]:
            yield from _sentence(file, _OTHERS_READ | _OTHERS_WRITE, "600")
    if tasks_file.exists():
        yield from _sentence(tasks_file, _OTHERS_WRITE, "go-w")
        yield from _sentence(tasks_file.absolute().parent, _OTHERS_WRITE, "go-w")


def _sentence(path: Path, forbidden: int, fix: str) -> Iterator[tuple[bool, str]]:
    try:
        found = path.stat()
    except OSError:
        return
    mode = found.st_mode & forbidden
    if path.is_dir() and found.st_mode & stat.S_ISVTX:
        return  # as in /tmp, only the owner of a file can replace it
    if mode:
        can_change = bool(mode & _OTHERS_WRITE)
        what = "change" if can_change else "read"
        yield can_change, f"other users can {what} {path}; chmod {fix} {path}"
