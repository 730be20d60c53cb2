"""A dotted path → the async function that takes a result, or the function that builds an input."""

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

from scheduler import _containment
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler.models import CurrentRun, TaskDefinition

Callback = Callable[[TaskDefinition, Any], Awaitable[Any]]
InputBuilder: TypeAlias = Callable[[TaskDefinition], object] | Callable[[TaskDefinition, CurrentRun], object]
_BOTH: Final = 2


@lru_cache(maxsize=256)
def load_callback(path: str) -> Callback:
    """Return the function that a dotted path names. Raises `ValueError`, with the field, the value and the hint.

    A callable is taken for async if it is a coroutine function, wraps one, has an async `__call__`, or is annotated to
    return an awaitable; of a callable object nobody can tell, and what it returns is looked at when it is called.
    """
    try:
        found = _resolved(path)
    except BaseException as error:
        if _containment.must_pass(error):
            raise
        reason = f"cannot be imported ({error_text(error, ERROR_LIMIT)})"
        raise ValueError(_sentence(path, reason, _IMPORTABLE)) from error
    if not callable(found):
        raise ValueError(_sentence(path, f"is a {type(found).__name__}, not a function", _ASYNC))  # noqa: TRY004
    if not _may_be_async(found):
        raise ValueError(_sentence(path, "is not async", _ASYNC))
    return typing.cast("Callback", found)


@lru_cache(maxsize=256)
def load_builder(path: str) -> InputBuilder:
    """Return the function that a dotted path names, for `input_builder`. Raises `ValueError`."""
    try:
        found = _resolved(path)
    except BaseException as error:
        if _containment.must_pass(error):
            raise
        reason = error_text(error, ERROR_LIMIT)
        message = f"input_builder={path!r} cannot be imported ({reason}); give the dotted path"
        raise ValueError(f"{message} of a function in a module that can be imported here") from error
    check_builder(found, path)
    return typing.cast("InputBuilder", found)


def check_builder(found: object, path: str | None = None) -> None:
    """Raise `ValueError` if something cannot be an `input_builder`."""
    call = getattr(type(found), "__call__", None)  # noqa: B004 (its function is wanted, not whether there is one)
    if not callable(found) or inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(call):
        message = f"input_builder={found if path is None else path!r} is not a plain function"
        hint = "give a function that takes the task, or the task and the run, and returns the graph's input"
        raise ValueError(f"{message}; {hint}")


def takes_run(build: InputBuilder) -> bool:
    """Tell whether an input builder takes the run as its second argument.

    It must need it, or call it `run`: a second parameter with a default has always been the function's own business.
    """
    try:
        parameters = list(inspect.signature(build).parameters.values())
    except (TypeError, ValueError):
        return False
    places = [each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]
    if len(places) < _BOTH:
        return False
    return places[1].default is inspect.Parameter.empty or places[1].name == "run"


def _resolved(path: str) -> object:
    """Return what a dotted path names."""
    try:
        return pkgutil.resolve_name(path)
    except AttributeError:
        # A module that is there and cannot be imported looks to pkgutil like an attribute that is missing.
        module = path.replace(":", ".").rpartition(".")[0]
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise
        raise


_IMPORTABLE = "give the dotted path of an async function in a module that can be imported here"
_ASYNC = "give an `async def` function that takes (task, result)"


def _sentence(path: str, problem: str, hint: str) -> str:
    return f"result_callback={path!r} {problem}; {hint}"


def _may_be_async(found: Callable[..., Any]) -> bool:
    unwrapped = inspect.unwrap(found)
    while isinstance(unwrapped, partial):
        unwrapped = unwrapped.func
    call = getattr(type(unwrapped), "__call__", None)  # noqa: B004 (its function is wanted, not whether there is one)
    if inspect.iscoroutinefunction(unwrapped) or inspect.iscoroutinefunction(call):
        return True
    if inspect.isroutine(unwrapped) or inspect.isclass(unwrapped):
        return _returns_awaitable(unwrapped)
    return True


def _returns_awaitable(function: Callable[..., Any]) -> bool:
    try:
        returned = typing.get_type_hints(function).get("return")
    except (NameError, TypeError):
        return False
    origin = typing.get_origin(returned) or returned
    return inspect.isclass(origin) and issubclass(origin, (Awaitable, Coroutine))
