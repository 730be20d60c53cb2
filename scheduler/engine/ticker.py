"""Calls a function at regular intervals, from a thread of its own."""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol


class Ticker(Protocol):
    """Calls a method at regular intervals."""

    def start(self, interval: float, call: Callable[[], bool]) -> None:
        """Call a bound method every `interval` seconds until it returns False or `stop` is called."""
        ...

    def stop(self) -> None:
        """Return when no call is in progress and no other will follow; at once if there is nothing to stop."""
        ...


class NoTicker:
    """Never calls: for a store that no other process can use, or a loop that nothing blocks."""

    def start(self, interval: float, call: Callable[[], bool]) -> None:
        """See `Ticker`."""

    def stop(self) -> None:
        """See `Ticker`."""


class ThreadTicker:
    """Calls a method from a daemon thread, which ends with `stop`, with this object, and before the interpreter exits.

    A child process after a fork has no such thread: its copy of this object does nothing.
    """

    def __init__(self, name: str) -> None:
        """Take the name of the thread."""
        self._name = name
        self._end: weakref.finalize[..., ThreadTicker] | None = None

    def start(self, interval: float, call: Callable[[], bool]) -> None:
        """See `Ticker`. The thread does not keep the object of the method alive."""
        self.stop()
        ended = threading.Event()
        arguments = (interval, weakref.WeakMethod(call), ended)
        thread = threading.Thread(target=_repeat, args=arguments, name=self._name, daemon=True)
        # Also called at exit: a daemon thread that used the database while the interpreter is taken down would crash.
        # It is there before the thread is, whose first call may stop it.
        self._end = weakref.finalize(self, _end, thread, ended, os.getpid())
        thread.start()

    def stop(self) -> None:
        """See `Ticker`."""
        if self._end is not None:
            self._end()


def _repeat(interval: float, method: "weakref.WeakMethod[Callable[[], bool]]", ended: threading.Event) -> None:
    while not ended.wait(min(interval, threading.TIMEOUT_MAX)):
        call = method()
        if call is None or not call():
            return
        del call  # or the wait would keep its object alive


def _end(thread: threading.Thread, ended: threading.Event, process: int) -> None:
    # A forked child has copies of both, and the copy of the event may be locked for good.
    if os.getpid() != process:
        return
    ended.set()
    if thread is not threading.current_thread() and thread.ident is not None:  # it has no number before its start
        thread.join()
