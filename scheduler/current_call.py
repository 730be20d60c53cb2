"""Which scheduler has called the user's code that runs now: a graph, a callback, an input builder or a listener.

It is known from the context, which tasks and `asyncio.to_thread` inherit. A thread that the user's code starts by other
means has no such context.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class _Call:
    scheduler: object
    has_returned: bool = False


_present: Final[ContextVar[_Call | None]] = ContextVar("scheduler_call", default=None)


@contextlib.contextmanager
def called_by(scheduler: object) -> Iterator[None]:
    """Mark what is called in the body as user's code that a scheduler has called; any object may stand for it."""
    call = _Call(scheduler)
    # Not reset: a coroutine whose loop was closed is ended in another context, where that would fail.
    _present.set(call)
    try:
        yield
    finally:
        call.has_returned = True


def is_called_by(scheduler: object) -> bool:
    """Tell whether this code runs in a call by this scheduler that has not returned yet."""
    call = _present.get()
    return call is not None and call.scheduler is scheduler and not call.has_returned
