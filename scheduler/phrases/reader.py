"""A phrase taken apart into words, and read from the first to the last."""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from scheduler.phrases.refusal import Unreadable

_T = TypeVar("_T")
# The patterns of this package are compiled when they are used first, so that an import does not pay for them.


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

    def accept_any(self, *words: str) -> str:
        """Read one of these words if it comes next, and return it; else return nothing."""
        word = self.next
        if word not in words:
            return ""
        self.position += 1
        return word

    def ahead(self, distance: int = 1) -> str:
        """Return the word that stands so far behind the next one; empty after the end."""
        place = self.position + distance
        return self.words[place] if place < len(self.words) else ""

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

    def replaced(self, start: int, end: int, *replacements: str) -> list[str]:
        """Return the phrase with the words from `start` to before `end` replaced, once for each replacement."""
        before, after = self.words[:start], self.words[end:]
        return [" ".join([*before, *replacement.split(), *after]) for replacement in replacements]

    def with_last(self, *replacements: str, count: int = 1) -> list[str]:
        """Return the phrase with its `count` latest words replaced, once for each replacement."""
        before, after = self.words[: self.position - count], self.words[self.position :]
        return [" ".join([*before, replacement, *after]) for replacement in replacements]


def read_list(reader: Reader, read_item: Callable[[Reader], _T | None]) -> list[_T]:
    """Read items between commas and `and`: at least one."""
    items = [_required(reader, read_item)]
    while (start := reader.position) and (reader.accept(",", "and") or reader.accept(",") or reader.accept("and")):
        item = read_item(reader)
        if item is None:
            if reader.words[start] == "," and reader.position == start + 1:
                reader.position = start
                return items
            raise reader.unreadable()
        items.append(item)
    return items


def _required(reader: Reader, read_item: Callable[[Reader], _T | None]) -> _T:
    item = read_item(reader)
    if item is None:
        raise reader.unreadable()
    return item


def join_list(items: list[str]) -> str:
    """Return the list as `read_list` reads it: `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
