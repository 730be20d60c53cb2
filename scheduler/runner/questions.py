"""What a graph asks, as questions whose values JSON can carry and every reader can read."""

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from scheduler.models import Question

_DEPTH: Final = 50
"""Values that are nested more deeply are shown by their repr; the JSON reader stops at 200 levels."""
_ITEMS: Final = 10_000
"""The values that one question can hold, members of lists and dicts included. A list that contains itself twice has
2^50 of them down to the depth limit."""
_INTEGER_BITS: Final = 1_024
"""Larger integers are shown as text: Python and its JSON readers refuse those of more than 4,300 digits."""
_REPR_LENGTH: Final = 2_000
_OMITTED: Final = "…"


def questions_of(interrupts: object) -> tuple[Question, ...]:
    """Return interrupts as questions."""
    if not isinstance(interrupts, list | tuple):
        return ()
    pairs = [_id_and_value(each) for each in interrupts]
    return tuple(Question(id=_as_text(str(key)), value=json_value(value)) for key, value in pairs)


def _id_and_value(interrupt: object) -> tuple[object, object]:
    if isinstance(interrupt, Mapping):
        return interrupt.get("id"), interrupt.get("value")
    return getattr(interrupt, "id", None), getattr(interrupt, "value", interrupt)


def json_value(value: object) -> object:
    """Return a value as JSON has it.

    What JSON does not have, or is nested too deeply, is shown by its repr. What exceeds the limit of items is replaced
    by an ellipsis.
    """
    return _Converter().convert(value, 0)


class _Converter:
    """Converts one value, and counts its items."""

    def __init__(self) -> None:
        self._items_left = _ITEMS

    def convert(self, value: object, depth: int) -> object:
        self._items_left -= 1
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._convert_container(value, depth) if depth < _DEPTH else _shown(value, reprlib.repr)
        if isinstance(value, str):
            return _as_text(value)
        if isinstance(value, float) and not math.isfinite(value):
            return repr(value)
        if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
            return _shown(value, hex)
        return value if value is None or isinstance(value, bool | int | float) else _shown(value)

    def _convert_container(self, value: Iterable[object], depth: int) -> object:
        try:
            if isinstance(value, Mapping):
                return self._convert_mapping(value, depth)
            members = iter(value)
            converted = [self.convert(each, depth + 1) for each in members if self._has_room()]
        except Exception:  # noqa: BLE001 (a container of the user's may raise anything when it is read)
            return _shown(value, reprlib.repr)
        return converted if self._has_room() else [*converted, _OMITTED]

    def _convert_mapping(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        converted = {
            self._key(key): self.convert(member, depth + 1) for key, member in value.items() if self._has_room()
        }
        return converted if self._has_room() else {**converted, _OMITTED: _OMITTED}

    def _key(self, key: object) -> str:
        return str(self.convert(key, _DEPTH))

    def _has_room(self) -> bool:
        return self._items_left > 0


def _as_text(value: str) -> str:
    """Return a text that can be encoded: half of a surrogate pair cannot."""
    return value.encode(errors="replace").decode()


def _shown(value: object, show: Callable[[Any], str] = repr) -> str:
    try:
        shown = show(value)
    except Exception as error:  # noqa: BLE001 (whatever the repr of a class of the user's raises)
        shown = f"({type(value).__name__}, whose repr raised {type(error).__name__})"
    return _as_text(shown if len(shown) <= _REPR_LENGTH else shown[:_REPR_LENGTH] + _OMITTED)
