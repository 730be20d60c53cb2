"""Settings of the garbage collector, which are those of the whole process. Importing this module changes none.

`freeze` is for programs that ask for it (`TaskScheduler(freeze_gc=True)`): a storm of short runs makes CPython look
through every object of the program again and again. The modules of LangGraph alone take some 60 ms each time, in which
the event loop stands still. What exists when a scheduler starts mostly stays, so it is left out of collections
(`gc.freeze`) until the last such scheduler of the process has stopped. Nothing is kept alive by that; only reference
cycles that become garbage meanwhile are found later.

`held_off` is for calls of the library that make many objects.
"""

import contextlib
import gc
import threading
from collections.abc import Iterator

# Its thread may take it again: a collection that begins inside may finalize what stops or lists.
_lock = threading.RLock()
_frozen_for = 0
_held_off = 0
_was_enabled = False


def freeze() -> None:
    """Leave what exists out of collections, unless the program or another scheduler has done so."""
    global _frozen_for  # noqa: PLW0603 (the collector is one a process, too)
    with _lock:
        if _frozen_for or not gc.get_freeze_count():
            _frozen_for += 1
            if _frozen_for == 1:
                gc.freeze()


def unfreeze() -> None:
    """Undo `freeze` when the last scheduler that asked for it stops."""
    global _frozen_for  # noqa: PLW0603
    with _lock:
        if _frozen_for:
            _frozen_for -= 1
            if not _frozen_for:
                gc.unfreeze()


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Collect nothing meanwhile: for a call that makes many objects, and no cycles of them.

    They would cause full collections, which find nothing: with 10,000 tasks, `list_tasks` takes 240 ms in place of 150.
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
                gc.enable()
