"""Listeners: async callables, each with a queue and a task of its own, so that none slows a pass, a run or another."""

import asyncio
import functools
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from scheduler import _containment, current_call, logbook
from scheduler._texts import shown
from scheduler.observing.events import Event, EventKind, RunEvent, RunEventKind, TaskEventKind

QUEUE_LIMIT: Final = 1_000
"""So many events wait for a listener; beyond that the oldest are dropped."""

Callback = Callable[[Any], Awaitable[object]]
"""Takes a `RunEvent` or a `TaskEvent`; `Any`, so that a function for one kind alone may be given."""


class Listener:
    """A callback that receives events until it is removed; `add_listener` returns it."""

    def __init__(
        self,
        callback: Callback,
        kinds: frozenset[EventKind],
        forget: Callable[["Listener"], None],
        scheduler: object,
    ) -> None:
        """Take an async callable, the events it receives, what forgets it, and what stands for its scheduler."""
        self._callback = callback
        self._scheduler = scheduler
        self._kinds = kinds
        self._forget = forget
        self._queue: deque[Event] = deque()
        self._dropped = 0
        self._worker: asyncio.Task[None] | None = None
        # That of whoever adds the listener, not of the run whose event comes first.
        self._context = _containment.copy_of_context()

    @property
    def dropped(self) -> int:
        """How many events came while the queue was full, each of which has pushed out the oldest one."""
        return self._dropped

    def remove(self) -> None:
        """Tell it nothing more, not even what waits in its queue; from any thread, and more than once."""
        self._forget(self)
        self._queue.clear()

    def put(self, event: Event) -> None:
        """Queue an event, on the loop; the oldest one gives way if there are too many."""
        if event.kind not in self._kinds:
            return
        if len(self._queue) >= QUEUE_LIMIT:
            self._queue.popleft()
            self._dropped += 1
            if self._dropped == 1:
                logbook.listener_is_slow(self._name, QUEUE_LIMIT)
        self._queue.append(event)
        self._work()

    def _work(self) -> "asyncio.Task[None]":
        """Return the task that empties the queue, started again if there is none, or its loop was closed."""
        loop = asyncio.get_running_loop()
        if self._worker is None or self._worker.done() or self._worker.get_loop() is not loop:
            self._worker = loop.create_task(self._deliver(), name=f"listener {self._name}", context=self._context)
        return self._worker

    async def drain(self, seconds: float) -> None:
        """Wait for what is queued, for so long at most; then let go of the rest."""
        worker = self._work()
        await asyncio.wait([worker], timeout=seconds)
        if not worker.done():
            logbook.events_undelivered(self._name, len(self._queue) + 1, seconds)
            self._queue.clear()
            worker.cancel()
            await asyncio.wait([worker], timeout=seconds)

    @property
    def _name(self) -> str:
        return getattr(self._callback, "__qualname__", None) or type(self._callback).__qualname__

    async def _deliver(self) -> None:
        """Tell the events one after another until there are no more."""
        while self._queue:
            event = self._queue.popleft()
            try:
                with current_call.called_by(self._scheduler):
                    await self._callback(event)
            except asyncio.CancelledError as error:
                if self._worker is None or self._worker.cancelling():
                    raise
                # What it waited for was cancelled, not the listener.
                logbook.listener_failed(self._name, event.kind, _subject(event), error)
            except BaseException as error:
                if _containment.must_pass(error):
                    raise
                logbook.listener_failed(self._name, event.kind, _subject(event), _containment.original(error))


def _subject(event: Event) -> str:
    return f"run {event.run.id}" if isinstance(event, RunEvent) else f"task {event.task_id}"


def check_callback(callback: object, name: str) -> None:
    """Raise `ValueError` unless it is an async callable; `name` is the argument that holds it."""
    inner = callback
    while isinstance(inner, functools.partial):
        inner = inner.func
    call = getattr(inner, "__call__", None)  # noqa: B004 (an object whose `__call__` is async will do)
    if not (inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(call)):
        given = getattr(callback, "__qualname__", None) or shown(callback)
        message = f"{name}={given} is no async function; give one, such as `async def on_event(event): ...`"
        raise ValueError(message)


def kinds_of(events: object) -> frozenset[EventKind]:
    """Return the kinds of events that are named; None: all. Raises `ValueError`."""
    known: list[EventKind] = [*RunEventKind, *TaskEventKind]
    if events is None:
        return frozenset(known)
    named = [events] if isinstance(events, str) or not isinstance(events, Iterable) else list(events)
    unknown = [each for each in named if not isinstance(each, str) or each not in set(known)]
    if unknown or not named:
        found = shown(unknown[0] if len(unknown) == 1 else unknown) if unknown else "nothing"
        message = f"events names {found}; give some of {', '.join(dict.fromkeys(known))}, or None for all"
        raise ValueError(message)
    return frozenset(kind for kind in known if kind in named)
