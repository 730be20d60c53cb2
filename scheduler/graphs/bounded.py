"""Awaits code that is not ours for a bounded time, whatever it does when it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

GRAPH_PATIENCE: Final = 10.0
"""How long a graph may take to end when it is cancelled because it took too long, in seconds."""
CALLBACK_PATIENCE: Final = 2.0
"""The same for a callback; less than what the scheduler's stop waits for cancelled runs."""

_left_behind: Final[set[asyncio.Task[Any]]] = set()
"""Tasks that have not ended since they were cancelled; asyncio itself does not keep them alive."""


class TooLongError(Exception):
    """A coroutine took too long, and was cancelled."""

    def __init__(self, *, has_ended: bool) -> None:
        """Say whether it has ended; if not, it is left behind."""
        super().__init__()
        self.has_ended = has_ended


class CallbackCancelledError(Exception):
    """A callback ended as cancelled although nobody has cancelled its run."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("it cancelled itself, or what it waited for was cancelled")


async def graph_within(seconds: float | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a call of a graph for so many seconds at most, and return its result.

    Raises what it raises, and `TooLongError`. If the caller is cancelled, so is the call, and what it makes of that is
    its result, however long it takes.
    """
    if seconds is None:
        return await coroutine
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        return await _cancelled(task)
    return await _result(task, GRAPH_PATIENCE)


async def callback_within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a callback for so many seconds at most.

    Raises what it raises, `TooLongError`, and `CallbackCancelledError` in place of a cancellation of its own. If the
    caller is cancelled, so is the callback.
    """
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        await _cancel(task, CALLBACK_PATIENCE)
        raise
    if task.cancelled():
        raise CallbackCancelledError
    return await _result(task, CALLBACK_PATIENCE)


async def _result(task: asyncio.Task[T], patience: float) -> T:
    """Return the result of a task that is done, else raise `TooLongError`."""
    if task.done():
        return task.result()
    await _cancel(task, patience)
    raise TooLongError(has_ended=task.done())


async def _cancelled(task: asyncio.Task[T]) -> T:
    """Cancel a task, and return or raise what it makes of that."""
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue  # once more: the task is cancelled once more, too
    return task.result()


async def _cancel(task: asyncio.Task[Any], patience: float) -> None:
    """Cancel a task, and wait for its end for a while.

    If the caller is cancelled meanwhile, it still waits: what runs here must not seem to have ended while it has not.
    """
    task.cancel()
    _left_behind.add(task)
    task.add_done_callback(_has_ended)
    loop, is_cancelled = asyncio.get_running_loop(), False
    deadline = loop.time() + patience
    while not task.done() and (left := deadline - loop.time()) > 0:
        try:
            await asyncio.wait([task], timeout=left)
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError


def _has_ended(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()  # nobody else asks for it, of which asyncio would complain


def too_long(name: str, seconds: float, *, has_ended: bool) -> TimeoutError:
    """Return the error of what took longer than the setting of this name allows."""
    left = "" if has_ended else ", and it continues although it was cancelled"
    return TimeoutError(f"longer than {name}={seconds:g}{left}")
