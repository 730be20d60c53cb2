"""Keeps code that is not ours (graphs, callbacks, listeners) from ending the program, and apart from its caller.

Such code runs in a context of its own (`new_context`), and what it raises stays with it. The difficulty is
`SystemExit` and `KeyboardInterrupt`: asyncio lets both out of the event loop, past every `except` around whoever
awaits the task that raised them. LangGraph runs nodes in tasks of their own, so an `except` around `ainvoke` is not
enough. A task factory of the loop therefore wraps every task that is created in such a context.

Only a signal ends the program: Ctrl+C, or a signal handler that raises.
"""

import asyncio
import contextvars
import dis
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from types import FrameType, TracebackType
from typing import Any, Final

_EXITS: Final = (SystemExit, KeyboardInterrupt)
_RAISES: Final = frozenset({dis.opmap["RAISE_VARARGS"], dis.opmap["RERAISE"]})
_MOST_IN_GROUPS: Final = 100
"""Of more exceptions in a group the last ones are looked at."""
_EXCEPTIONS: Any = BaseExceptionGroup.__dict__["exceptions"]
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]


class ContainedExit(BaseException):
    """Stands for a `SystemExit` or `KeyboardInterrupt` that code of a run has raised in a task.

    Whoever awaits that task gets it. Like what it stands for it is no `Exception`, so that `except Exception` lets it
    through, up to the run.
    """

    def __init__(self, original: BaseException) -> None:
        """Keep what was raised."""
        super().__init__(f"{type(original).__name__} in a run: it ends the run, not the program")
        self.original = original


_is_guarded: ContextVar[bool] = ContextVar("scheduler_is_guarded", default=False)


# --- Contexts ---


def new_context() -> Context:
    """Return an empty context, as a new thread has, in which tasks are guarded.

    It holds nothing of whoever calls this, such as the user of a request, or its tracer.
    """
    return _guarding(Context())


def copy_of_context() -> Context:
    """Return a copy of the caller's context in which tasks are guarded."""
    return _guarding(contextvars.copy_context())


def _guarding(context: Context) -> Context:
    context.run(_is_guarded.set, True)  # noqa: FBT003 (a ContextVar's own signature)
    return context


# --- What is raised ---


def must_pass(error: BaseException) -> bool:
    """Tell whether an exception must pass through: a cancellation, the end of a coroutine, or a signal."""
    kind = type(error)  # not isinstance: it asks for `__class__`, which may be a property that raises
    if issubclass(kind, GeneratorExit):
        return not _is_at_raise(_innermost(error))  # where a coroutine is closed, nobody has raised it
    return issubclass(kind, asyncio.CancelledError) or is_from_signal(error)


def original(error: BaseException) -> BaseException:
    """Return what was raised in a guarded task, in place of the `ContainedExit` that stands for it.

    A task group would raise an exit of one of its tasks without the group, so it is looked for in groups, too.
    """
    waiting: deque[BaseException] = deque([error], maxlen=_MOST_IN_GROUPS)
    while waiting:
        each = waiting.popleft()
        if type(each) is ContainedExit:
            return each.original
        if issubclass(type(each), BaseExceptionGroup):
            waiting.extend(_EXCEPTIONS.__get__(each)[:_MOST_IN_GROUPS])
    return error


def is_from_signal(error: BaseException) -> bool:
    """Tell whether a signal has raised an exception.

    Python calls a signal handler with the frame that it interrupts, so in the traceback the frame of a handler follows
    the very frame that it was called with. The handler of Ctrl+C is no Python function and leaves no frame: then the
    last instruction is whatever was interrupted, and no `raise`. Where nobody can know, it counts as a signal.
    """
    if not issubclass(type(error), _EXITS):
        return False
    interrupted: FrameType | None = None
    for entry in _traceback(error):
        if interrupted is not None and _was_called_with(entry.tb_frame, interrupted):
            return True
        interrupted = entry.tb_frame
    return issubclass(type(error), KeyboardInterrupt) and not _is_at_raise(_innermost(error))


def _traceback(error: BaseException) -> Iterator[TracebackType]:
    entry: TracebackType | None = _TRACEBACK.__get__(error)
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _innermost(error: BaseException) -> TracebackType | None:
    last = deque(_traceback(error), maxlen=1)
    return last[0] if last else None


def _was_called_with(frame: FrameType, value: FrameType) -> bool:
    for local in frame.f_locals.values():
        if local is value or (type(local) is tuple and any(item is value for item in local)):
            return True
    return False


def _is_at_raise(entry: TracebackType | None) -> bool:
    if entry is None:
        return False
    code = entry.tb_frame.f_code.co_code
    return 0 <= entry.tb_lasti < len(code) and code[entry.tb_lasti] in _RAISES


# --- Tasks ---


class _Guarded(Coroutine[Any, Any, Any]):
    """A coroutine from which no `SystemExit` or `KeyboardInterrupt` comes but those of a signal.

    No `async def` around the other one: cancelled before its first step, that would never await it.
    """

    __slots__ = ("_inner",)

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def send(self, value: Any) -> Any:  # noqa: ANN401 (a coroutine's own signature)
        try:
            return self._inner.send(value)
        except _EXITS as error:
            raise _contained(error)  # noqa: B904 (a signal is raised again as it is)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401
        try:
            return self._inner.throw(*error)
        except _EXITS as raised:
            raise _contained(raised)  # noqa: B904

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:  # noqa: ANN401
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Look like the other one to whoever inspects tasks, as asyncio's debug mode and anyio do."""
        return getattr(self._inner, name)


def _contained(error: BaseException) -> BaseException:
    return error if is_from_signal(error) else ContainedExit(error)


class _TaskFactory:
    """Makes the tasks of a loop, by the factory that the loop had before; those of guarded contexts are guarded."""

    def __init__(self, previous: Callable[..., Any] | None) -> None:
        self.previous = previous
        self.users = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:  # noqa: ANN401
        context: Context | None = options.get("context")
        is_guarded = _is_guarded.get() if context is None else context.get(_is_guarded, False)
        if is_guarded and isinstance(coro, Coroutine):
            coro = _Guarded(coro)
        if self.previous is None:
            return asyncio.Task(coro, loop=loop, **options)
        return self.previous(loop, coro, **options)


def guard_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Set the loop's task factory, around the one that is there, until `stop_guarding` was called as often."""
    _factory_of(loop).users += 1


def keep_guarding(loop: asyncio.AbstractEventLoop) -> None:
    """Set the loop's task factory again if somebody has set another one since."""
    _factory_of(loop)


def stop_guarding(loop: asyncio.AbstractEventLoop) -> None:
    """Give the loop back the factory that it had, unless somebody has set another one since."""
    factory = loop.get_task_factory()
    if isinstance(factory, _TaskFactory):
        factory.users -= 1
        if factory.users <= 0:
            loop.set_task_factory(factory.previous)


def _factory_of(loop: asyncio.AbstractEventLoop) -> _TaskFactory:
    current: Any = loop.get_task_factory()
    if isinstance(current, _TaskFactory):
        return current
    factory = _TaskFactory(current)
    loop.set_task_factory(factory)
    return factory
