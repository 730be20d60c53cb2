"""What JSON can carry, of values that a program gives."""

import math
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import PydanticCustomError

from scheduler._texts import is_unicode, shown

_DEPTH_LIMIT: Final = 100
_INTEGER_BITS: Final = 1_024


def check_json(name: str, value: dict[str, Any]) -> None:
    """Raise `PydanticCustomError` for what JSON cannot carry; `name` is the field that holds it."""
    for path, item in _walk(name, value) if value else ():
        if not _is_json(item):
            context = {"path": path, "kind": type(item).__name__, "item": shown(item)[:80]}
            raise PydanticCustomError("json", "{path} is {item} ({kind}), which JSON cannot carry", context)


def _walk(path: str, item: object) -> Iterator[tuple[str, object]]:
    # With a stack of its own: nesting as deep as memory allows must not end in a RecursionError.
    stack = [(path, item, 0)]
    while stack:
        path, item, depth = stack.pop()
        if depth > _DEPTH_LIMIT:
            raise PydanticCustomError("depth", "it is nested too deeply")
        yield path, item
        if isinstance(item, dict):
            stack.extend((f"{path}[{_key(path, key)}]", member, depth + 1) for key, member in item.items())
        elif isinstance(item, list):
            stack.extend((f"{path}[{index}]", member, depth + 1) for index, member in enumerate(item))


def _key(path: str, key: object) -> str:
    if not isinstance(key, str) or not _is_json(key):
        context = {"path": path, "key": shown(key)}
        raise PydanticCustomError("json", "{path} has the key {key}, which is no text", context)
    return shown(key)


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return is_unicode(value)
    if isinstance(value, int):
        return value.bit_length() <= _INTEGER_BITS
    return value is None or isinstance(value, (dict, list))
