"""Calls blocking code that is not ours in a thread that nobody has to wait for."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *values: Any) -> T:  # noqa: ANN401
    """Call a function in a thread of its own, with the caller's context variables, and return what it returns.

    Not in the loop's executor: functions that never return would take the threads of everything else there, and keep
    the program from ending. If the caller is cancelled, the thread continues. Raises what the function raises.
    """
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_OWN_THREADS, lambda: context.run(function, *values))


class _OwnThreads(Executor):
    """Calls each function in a new daemon thread."""

    def submit(self, function: Callable[..., T], /, *values: Any, **named: Any) -> Future[T]:  # noqa: ANN401
        done = Future[T]()
        done.set_running_or_notify_cancel()  # so that a cancelled caller does not cancel it

        def call() -> None:
            try:
                done.set_result(function(*values, **named))
            except StopIteration as error:  # which no future takes
                done.set_exception(RuntimeError(f"a function raised StopIteration({error.value!r})"))
            except BaseException as error:  # noqa: BLE001 (it is raised where the caller waits)
                done.set_exception(error)

        threading.Thread(target=call, name="scheduler: code of a task", daemon=True).start()
        return done


_OWN_THREADS: Final = _OwnThreads()
