"""Calls blocking code that is not ours in a thread that nobody has to wait for."""

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *values: Any) -> T:  # noqa: ANN401
    """Call a function in a thread of its own, with the caller's context variables, and return what it returns.

    Not in the loop's executor: functions that never return would take the threads of everything else there, and keep
    the program from ending. If the caller is cancelled, the thread continues. Raises what the function raises.
    """
    context, done = contextvars.copy_context(), concurrent.futures.Future[T]()
    done.set_running_or_notify_cancel()  # so that a cancelled caller does not cancel it

    def call() -> None:
        try:
            done.set_result(context.run(function, *values))
        except StopIteration as error:  # which no future takes
            done.set_exception(RuntimeError(f"{function!r} raised StopIteration({error.value!r})"))
        except BaseException as error:  # noqa: BLE001 (it is raised where the caller waits)
            done.set_exception(error)

    threading.Thread(target=call, name="scheduler: code of a task", daemon=True).start()
    return await asyncio.wrap_future(done)
