"""Noticing that a file was edited: through the operating system, else by looking at it again and again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Final

from scheduler import logbook

LOOK_SECONDS: Final = 2.0
"""The file is looked at at least so often, whatever the system reports: folders can be swapped, drives be silent."""

FileState = tuple[int, ...]
"""What changes when a file is written, replaced, or made readable; empty where there is none."""


def state_of(file: Path) -> FileState:
    """Return the state of a file now."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # no such file, or no such name
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev, found.st_mode, found.st_uid, found.st_gid


async def edits(file: Path, seen: FileState) -> AsyncGenerator[None, None]:
    """Yield, without end, each time the state of a file is another one than before; `seen` is the first."""
    async with aclosing(_occasions(file)) as occasions:
        async for _ in occasions:
            state = await _state_now(file, seen)
            if state != seen:
                seen = state
                yield


async def _state_now(file: Path, otherwise: FileState) -> FileState:
    try:
        return await asyncio.to_thread(state_of, file)
    except RuntimeError:  # no thread can be started just now; the next look comes soon
        return otherwise


async def _occasions(file: Path) -> AsyncGenerator[None, None]:
    """Yield, without end, whenever the file may have been edited. Where the system's reports fail, it polls."""
    try:
        async with aclosing(_reports(file)) as reports:
            async for _ in reports:
                yield
    except Exception as error:  # noqa: BLE001 (no folder, no more watches, a fault of the library: an edit must be seen)
        logbook.watching_without_reports(str(file), LOOK_SECONDS, error)
    while True:
        yield
        await asyncio.sleep(LOOK_SECONDS)


async def _reports(file: Path) -> AsyncGenerator[None, None]:
    """Yield when the system reports a change, and once soon: the file may have been edited before the watch began."""
    from watchfiles import awatch  # noqa: PLC0415 (only who watches pays for it)

    names = {file.name, "..data"}  # the second is what Kubernetes replaces when a ConfigMap changes
    is_first = True

    def concerns_us(_: object, changed: str) -> bool:
        return is_first or Path(changed).name in names

    async for _ in awatch(
        file.parent,
        watch_filter=concerns_us,
        recursive=False,
        rust_timeout=round(LOOK_SECONDS * 1000),
        yield_on_timeout=True,
    ):
        is_first = False
        yield
