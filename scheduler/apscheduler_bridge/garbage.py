"""Keeps full collections of the garbage collector short while a scheduler runs.

A storm of short runs makes CPython look through every object of the program again and again: the modules of LangGraph
alone take some 60 ms each time, in which the event loop stands still. What exists when a scheduler starts is mostly
there to stay, so it is put aside (`gc.freeze`) until the last scheduler of the process has stopped. Nothing is kept
alive by that; only reference cycles that become garbage meanwhile are found later.
"""

import gc
import threading

_lock = threading.Lock()
_schedulers = 0


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
