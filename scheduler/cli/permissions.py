"""Which files of a project other users of the machine can read or change."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_OTHERS_READ: Final = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The files that decide what runs; those that are not there are left out."""

    store: Path | None
    conversations: Path | None
    tasks: Path

    @property
    def databases(self) -> Iterator[Path]:
        """The store and the conversations, with what SQLite and a scheduler that was stopped keep beside them."""
        for file in (self.store, self.conversations):
            if file is not None:
                yield file
                yield from _beside(file)


def open_to_others(files: ProjectFiles) -> Iterator[tuple[bool, str]]:
    """Yield what others can change (True) or read (False) of a project, with a sentence for each file and folder.

    A tasks file may be read by everybody. Who can change a folder can put another file into the place of one in it.
    Nothing is said on systems without POSIX modes, and of files that are not there.
    """
    if os.name != "posix":
        return
    databases = [file for file in files.databases if file.exists()]
    for file in databases:
        yield from _problems(file, _OTHERS_READ | _OTHERS_WRITE, "600")
    tasks = [files.tasks] if files.tasks.exists() else []
    for file in tasks:
        yield from _problems(file, _OTHERS_WRITE, "go-w")
    for folder in dict.fromkeys(file.absolute().parent for file in [*databases, *tasks]):
        yield from _problems(folder, _OTHERS_WRITE, "go-w")


def _beside(database: Path) -> list[Path]:
    try:
        names = [path.name for path in database.absolute().parent.iterdir()]
    except OSError:
        return []
    return [
        database.with_name(name)
        for name in sorted(names)
        if name.startswith((f"{database.name}-", f"{database.name}."))
    ]


def _problems(path: Path, forbidden: int, fix: str) -> Iterator[tuple[bool, str]]:
    try:
        found = path.stat()
    except OSError:
        return
    if found.st_uid not in {os.geteuid(), 0}:
        yield True, f"{path} belongs to another user, who can change it; chown {os.geteuid()} {path}"
        return
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return  # as in /tmp, only the owner of a file can replace it
    mode = found.st_mode & forbidden
    if mode:
        can_change = bool(mode & _OTHERS_WRITE)
        what = "change" if can_change else "read"
        yield can_change, f"other users can {what} {path}; chmod {fix} {path}"
