"""Text from outside, made storable: the one boundary between what graphs and people say and what a database takes."""

import unicodedata
from collections.abc import Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

_REPLACEMENT: Final = "\ufffd"
_ODD: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of Unicode."""


def odd_character(text: str) -> str | None:
    """Return the first character that no name has: of control, half of a surrogate pair, or the end of a line."""
    return next((letter for letter in text if unicodedata.category(letter) in _ODD), None)


def storable(value: T) -> T | str:
    """Return a text with U+FFFD in place of what not every database takes; any other value as it is.

    PostgreSQL refuses NUL, and no encoder takes lone surrogates, such as those of file names that are not UTF-8. One
    character takes the place of one, so that JSON stays JSON.
    """
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", _REPLACEMENT)


def storable_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a statement, each made storable."""
    return {name: storable(value) for name, value in values.items()}
