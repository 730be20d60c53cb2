"""Keeps full collections of the garbage collector short while a scheduler runs, and away where much is made at once.

A storm of short runs makes CPython look through every object of the program again and again: the modules of LangGraph
alone take some 60 ms each time, in which the event loop stands still. What exists when a scheduler starts is mostly
there to stay, so it is put aside (`gc.freeze`) until the last scheduler of the process has stopped. Nothing is kept
alive by that; only reference cycles that become garbage meanwhile are found later.
"""

import contextlib
import gc
import threading
from collections.abc import Iterator

# Its thread may take it again: a collection that begins inside may finalize what stops or lists.
_lock = threading.RLock()
_schedulers = 0
_held_off = 0
_was_enabled = False


def put_aside() -> None:
    """Put aside what exists, unless the program or another scheduler has done so."""
    global _schedulers  # noqa: PLW0603 (the collector is one a process, too)
    with _lock:
        if _schedulers or not gc.get_freeze_count():
            _schedulers += 1
            if _schedulers == 1:
                gc.freeze()


def take_back() -> None:
    """Undo `put_aside` when the last scheduler stops."""
    global _schedulers  # noqa: PLW0603
    with _lock:
        if _schedulers:
            _schedulers -= 1
            if not _schedulers:
                gc.unfreeze()


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Collect nothing meanwhile: for a call that makes many objects, and no cycles of them.

    They set off full collections, which find nothing: a third of what `list_tasks` takes of 10,000 tasks. Afterwards
    they count as old at once, or the next collection of what is young would go through all of them.
    """
    global _held_off, _was_enabled  # noqa: PLW0603
    with _lock:
        if not _held_off:
            _was_enabled = gc.isenabled()
            gc.disable()
        _held_off += 1
    try:
        yield
    finally:
        with _lock:
            _held_off -= 1
            if not _held_off and _was_enabled:
                if not gc.get_freeze_count():
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()
