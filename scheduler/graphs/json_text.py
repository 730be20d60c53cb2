"""Results as JSON text: what a graph returned besides messages, up to a limit, and no longer text on the way."""

import dataclasses
import json
import math
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from scheduler._safe_text import LimitedWriter, is_light, shown

_DEPTH: Final = 50
"""What is nested more deeply, or contains itself, is shown as an ellipsis."""
_INTEGER_BITS: Final = 10_000
"""Larger integers are shown by their size: Python writes no more than 4,300 digits."""
_LISTS: Final = (list, tuple, set, frozenset, deque)
_TEXTS: Final = (UUID, Decimal, PurePath, timedelta)
"""What is written as its `str`."""


def has_json(value: object) -> bool:
    """Tell whether a value is more than a text: JSON has it, or it has fields."""
    kinds = (Mapping, *_LISTS, BaseModel, bool, int, float, Enum, date, time, *_TEXTS)
    return issubclass(type(value), kinds) or _is_dataclass(value)


def json_text(value: object, limit: int) -> str:
    """Return the first characters of a value as JSON; what JSON does not have is a text in it: its `repr`.

    Whatever a container or a field raises is noted where it stands.
    """
    return _Writer(limit).text_of(value)


class _Writer(LimitedWriter):
    """Writes JSON."""

    def write(self, value: Any) -> None:  # noqa: ANN401
        kind = type(value)
        if issubclass(kind, Enum):
            self.write(value.value)
        elif issubclass(kind, str):
            self._put(_quoted(str.__getitem__(value, slice(self._left))))
        elif value is None or issubclass(kind, bool | int | float):
            self._put(_number(value))
        elif issubclass(kind, datetime | date | time):
            self._put(_quoted(value.isoformat()))
        elif issubclass(kind, _TEXTS) and is_light(value):
            self._put(_quoted(str(value)))
        elif issubclass(kind, _LISTS):
            self._nested(value, "[]", ((None, member) for member in value))
        elif (fields := _fields(value)) is not None:
            self._nested(value, "{}", fields)
        else:
            self._put(_quoted(shown(value, self._left)))

    def _nested(self, value: object, brackets: str, members: Iterable[tuple[object, object]]) -> None:
        if id(value) in self._open or len(self._open) >= _DEPTH:
            self._put('"…"')
            return
        self._open.add(id(value))
        self._put(brackets[0])
        for number, (key, member) in enumerate(members):
            if number:
                self._put(", ")
            if brackets == "{}":
                self._put(f"{_quoted(key if type(key) is str else shown(key, self._left))}: ")
            self.write(member)
        self._put(brackets[1])
        self._open.discard(id(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float) and not math.isfinite(value):
        return _quoted(repr(value))
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
        return _quoted(shown(value, _INTEGER_BITS))
    return json.dumps(value)


def _fields(value: Any) -> Iterable[tuple[object, object]] | None:  # noqa: ANN401
    """Return the keys and members of what is an object in JSON; None for any other value."""
    if issubclass(type(value), Mapping):
        items: Iterable[tuple[object, object]] = value.items()
        return items
    if issubclass(type(value), BaseModel):
        return {**value.__dict__, **(value.__pydantic_extra__ or {})}.items()
    if _is_dataclass(value):
        return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return None


def _is_dataclass(value: object) -> bool:
    return dataclasses.is_dataclass(type(value))
