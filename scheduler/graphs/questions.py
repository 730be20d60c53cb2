"""What a graph asks, as questions whose values JSON can carry and every reader can read."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from scheduler import _containment
from scheduler._safe_text import shown, text_of
from scheduler.models import Question

_DEPTH: Final = 50
"""Values that are nested more deeply are shown by their repr; the JSON reader stops at 200 levels."""
_ITEMS: Final = 10_000
"""The values that one question can hold, members of lists and dicts included. A list that contains itself twice has
2^50 of them down to the depth limit."""
_CHARACTERS: Final = 1_000_000
"""The characters of all texts of one question."""
_INTEGER_BITS: Final = 1_024
"""Larger integers are shown as text: Python and its JSON readers refuse those of more than 4,300 digits."""
_HEX_BITS: Final = 1_000_000
"""Still larger ones are shown by their size."""
_REPR_LENGTH: Final = 2_000
_DEEP_LENGTH: Final = 100
"""So much is shown of what is nested too deeply."""
_CHARACTERS_PER_ITEM: Final = 5
"""A repr counts as an item for each so many characters: it takes about as long."""
_MOST_QUESTIONS: Final = 1_000
"""A graph that asks more is asked again for the others when these are answered."""
_OMITTED: Final = "…"


def questions_of(interrupts: object) -> tuple[Question, ...]:
    """Return interrupts as questions."""
    if not isinstance(interrupts, list | tuple):
        return ()
    return tuple(_question(*_parts(each)) for each in interrupts[:_MOST_QUESTIONS])


def _parts(interrupt: object) -> tuple[object, object, object]:
    if isinstance(interrupt, Mapping):
        return interrupt.get("id"), interrupt.get("value"), interrupt.get("response_schema")
    schema = getattr(interrupt, "response_schema", None)
    return getattr(interrupt, "id", None), getattr(interrupt, "value", interrupt), schema


def _question(key: object, value: object, schema: object) -> Question:
    """Return an interrupt as a question; a schema that JSON does not have as it is is left out: it would mean more."""
    written = json_value(schema) if isinstance(schema, dict) else None
    return Question(
        id=_as_text(text_of(key, _REPR_LENGTH)),
        value=json_value(value),
        response_schema=written if isinstance(written, dict) and written == schema else None,
    )


def json_value(value: object) -> object:
    """Return a value as JSON has it.

    What JSON does not have, or is nested too deeply, is shown by its repr. What exceeds the limits of items and of
    characters is replaced by an ellipsis.
    """
    return _Converter().convert(value, 0)


class _Converter:
    """Converts one value, and counts its items and characters."""

    def __init__(self) -> None:
        self._items_left = _ITEMS
        self._characters_left = _CHARACTERS

    def convert(self, value: object, depth: int) -> object:
        self._items_left -= 1
        try:
            return self._converted(value, depth)
        except BaseException as error:  # a container of the user's may raise anything when it is read
            if _containment.is_from_signal(error):
                raise
            return self._shown(value)

    def _converted(self, value: object, depth: int) -> object:
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(value, depth) if depth < _DEPTH else self._cut(shown(value, _DEEP_LENGTH))
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, float) and not math.isfinite(value):
            return repr(value)
        if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
            return self._cut(hex(value) if value.bit_length() <= _HEX_BITS else shown(value, _REPR_LENGTH))
        return value if value is None or isinstance(value, bool | int | float) else self._shown(value)

    def _container(self, value: Mapping[object, object] | Iterable[object], depth: int) -> object:
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        converted: list[object] = []
        for member in value:
            if not self._has_room():
                return [*converted, _OMITTED]
            converted.append(self.convert(member, depth + 1))
        return converted

    def _mapping(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        converted: dict[str, object] = {}
        for key, member in value.items():
            if not self._has_room():
                return {**converted, _OMITTED: _OMITTED}
            converted[str(self.convert(key, _DEPTH))] = self.convert(member, depth + 1)
        return converted

    def _has_room(self) -> bool:
        return self._items_left > 0 and self._characters_left > 0

    def _text(self, value: str) -> str:
        text = text_of(value, self._characters_left + 1)
        if len(text) > self._characters_left:
            text = text[: self._characters_left] + _OMITTED
        self._characters_left -= len(text)
        return _as_text(text)

    def _shown(self, value: object) -> str:
        return self._cut(shown(value, _REPR_LENGTH + 1))

    def _cut(self, text: str) -> str:
        self._items_left -= len(text) // _CHARACTERS_PER_ITEM
        return self._text(text if len(text) <= _REPR_LENGTH else text[:_REPR_LENGTH] + _OMITTED)


def _as_text(value: str) -> str:
    """Return a text that can be encoded: half of a surrogate pair cannot."""
    return value.encode(errors="replace").decode()
