"""A phrase taken apart into words, and read from the first to the last."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from scheduler.phrases.refusal import Refusal, Unreadable

MAX_LENGTH: Final = 1_000
"""The longest phrase that is read, in characters."""

_T = TypeVar("_T")
# The patterns of this package are compiled when they are used first, so that an import does not pay for them.
_DATE_AND_TIME: Final = r"\b(\d{4}-\d{2}-\d{2})t(?=\d)"
_MERIDIEM: Final = r"(?<=[\d\s])([ap])\.m\.(?!\w)"
_HOUR_AND_MERIDIEM: Final = r"\b(\d{1,2}(?::\d{2})?) (am|pm)\b"


def normalised(text: str) -> str:
    """Return a phrase in lower case, with one blank between its words, commas being words.

    Raises `Refusal` if it is empty, too long, or not in plain English letters.
    """
    if len(text) > MAX_LENGTH:
        raise Refusal(f"it has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    if foreign := next((letter for letter in text if not letter.isascii()), None):
        raise Refusal(f"{foreign!r} is no plain English letter, digit or sign", [text.replace(foreign, " ")])
    words = " ".join(text.lower().replace(",", " , ").split())
    if not words:
        raise Refusal("it is empty")
    words = re.sub(_MERIDIEM, r"\1m", re.sub(_DATE_AND_TIME, r"\1 ", words))
    words = re.sub(_HOUR_AND_MERIDIEM, r"\1\2", words)
    return re.sub(r"\beach\b", "every", words)


class Reader:
    """A normalised phrase, and how far it has been read."""

    def __init__(self, phrase: str) -> None:
        """Stand before the first word."""
        self.words: list[str] = phrase.split()
        self.position: int = 0

    @property
    def next(self) -> str:
        """The next word; empty at the end."""
        return self.words[self.position] if self.position < len(self.words) else ""

    @property
    def done(self) -> bool:
        """Whether all words have been read."""
        return self.position == len(self.words)

    def accept(self, *words: str) -> bool:
        """Read these words if they come next."""
        end = self.position + len(words)
        if tuple(self.words[self.position : end]) != words:
            return False
        self.position = end
        return True

    def expect(self, *words: str) -> None:
        """Read these words; raise `Unreadable` if others come next."""
        for word in words:
            if not self.accept(word):
                raise self.unreadable()

    def look_up(self, meanings: Mapping[str, _T]) -> _T | None:
        """Read a word that has a meaning, and return it."""
        meaning = meanings.get(self.next)
        if meaning is not None:
            self.position += 1
        return meaning

    def match(self, pattern: str) -> re.Match[str] | None:
        """Read a word that fits a pattern as a whole."""
        found = re.fullmatch(pattern, self.next)
        if found is not None:
            self.position += 1
        return found

    def unreadable(self) -> Unreadable:
        """Return the error that says which word does not fit."""
        before = f" after {' '.join(self.words[: self.position])!r}" if self.position else ""
        if self.done:
            return Unreadable(f"something is missing{before}")
        return Unreadable(f"{self.next[:40]!r} is not understood{before}")

    def with_last(self, *replacements: str, count: int = 1) -> list[str]:
        """Return the phrase with its `count` latest words replaced, once for each replacement."""
        before, after = self.words[: self.position - count], self.words[self.position :]
        return [" ".join([*before, replacement, *after]) for replacement in replacements]


def read_list(reader: Reader, read_item: Callable[[Reader], _T | None]) -> list[_T]:
    """Read items between commas and `and`: at least one."""
    items = [_required(reader, read_item)]
    while reader.accept(",", "and") or reader.accept(",") or reader.accept("and"):
        items.append(_required(reader, read_item))
    return items


def _required(reader: Reader, read_item: Callable[[Reader], _T | None]) -> _T:
    item = read_item(reader)
    if item is None:
        raise reader.unreadable()
    return item


def join_list(items: list[str]) -> str:
    """Return the list as `read_list` reads it: `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
