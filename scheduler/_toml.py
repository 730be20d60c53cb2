"""TOML beyond `tomllib`: the line on which each key and table stands, and values as TOML text."""

import json
import re
import tomllib
from bisect import bisect_left
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

from scheduler._texts import UNSAFE

Path = tuple[str | int, ...]
"""Keys, and numbers of tables or items in arrays: `("task", 0, "metadata")`."""

_DEPTH: Final = 3
"""Lines are noted for paths of so many keys and numbers: a task is one of two, its field one of three."""

_STRING: Final = (
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']++|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*'"
)
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART: Final = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')[ \t]*""")
_SCALAR: Final = re.compile(r"[^,\]}#\n]+")
_KEY_TOKEN: Final = re.compile(rf"{_STRING}|\#[^\n]*|(?P<dot>\.)|(?P<end>[\n=,\[\]{{}}])", re.DOTALL)
_TOKEN: Final = re.compile(rf"{_STRING}|\#[^\n]*|(?P<open>[\[{{])|(?P<close>[\]}}])", re.DOTALL)


# --- Where things stand ---


def lines_of(text: str) -> dict[Path, int]:
    """Return the line on which each key, table and item is named first, of a text that `tomllib` accepts."""
    reader = _Reader(text)
    # A form of TOML that this does not know: what follows has no line.
    with suppress(_UnexpectedError, RecursionError, tomllib.TOMLDecodeError):
        reader.read()
    return reader.lines


class _UnexpectedError(Exception):
    """Something else stands where a key or a value was expected."""


class _Reader:
    """Reads TOML from its beginning to its end, and notes where things stand."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._line_ends = [found.start() for found in re.finditer("\n", text)]
        self._tables: dict[Path, int] = {}  # how many tables each array of tables has so far

    def read(self) -> None:
        table: Path = ()
        while self._skip_blank() is not None:
            if self._next("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        line, is_item = self._line(), self._next("[")
        keys = self._keys()
        self._expect("]]" if is_item else "]")
        table = self._within_arrays(keys)
        if is_item:
            number = self._tables.get(table, 0)
            self._tables[table] = number + 1
            self._note(table, line)
            table = (*table, number)
        self._note(table, line)
        return table

    def _within_arrays(self, keys: list[str]) -> Path:
        """Return the path of a header's table; a key of an array of tables means the latest of them."""
        path: Path = ()
        for key in keys:
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
            path = (*path, key)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = (*table, *self._keys())
        self._note(path, line)
        self._expect("=")
        self._value(path)

    def _keys(self) -> list[str]:
        """Read a key, dotted or not."""
        keys = []
        while True:
            found = _KEY_PART.match(self._text, self._at)
            if found is None:
                raise _UnexpectedError
            keys.append(_unquoted(found[1]))
            self._at = found.end()
            if not self._next("."):
                return keys

    def _value(self, path: Path) -> None:
        self._skip_blank()
        self._note(path, self._line())
        if self._next("["):
            self._items(path)
        elif self._next("{"):
            self._members(path)
        elif found := _STRINGS.match(self._text, self._at) or _SCALAR.match(self._text, self._at):
            self._at = found.end()
        else:
            raise _UnexpectedError

    def _items(self, path: Path) -> None:
        number = 0
        while self._skip_blank() != "]":
            self._value((*path, number))
            number += 1
            self._skip_blank()
            self._next(",")
        self._expect("]")

    def _members(self, path: Path) -> None:
        while self._skip_blank() != "}":
            self._pair(path)
            self._skip_blank()
            self._next(",")
        self._expect("}")

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, min(len(path), _DEPTH) + 1):
            self.lines.setdefault(path[:length], line)

    def _line(self) -> int:
        return bisect_left(self._line_ends, self._at) + 1

    def _skip_blank(self) -> str | None:
        """Go past blanks, line breaks and comments; return the character there, or None at the end."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at] if self._at < len(self._text) else None

    def _next(self, expected: str) -> bool:
        """Go past a text if it comes next, and return whether it did."""
        if not self._text.startswith(expected, self._at):
            return False
        self._at += len(expected)
        return True

    def _expect(self, expected: str) -> None:
        if not self._next(expected):
            raise _UnexpectedError


def _unquoted(key: str) -> str:
    if key[0] == '"':
        return str(tomllib.loads(f"key = {key}")["key"])
    return key.strip("'")


def line_nested_deeper(text: str, levels: int) -> int | None:
    """Return the first line on which so many brackets are open, of a text that may be wrong; None if there is none."""
    depth = 0
    for found in _TOKEN.finditer(text):
        depth += 1 if found["open"] else -1 if found["close"] else 0
        if depth > levels:
            return _line_at(text, found.start())
    return None


def line_of_dotted_key(text: str, parts: int) -> int | None:
    """Return the first line with a dotted key of so many parts, of a text that may be wrong; None if there is none.

    `tomllib` takes a time that grows with the square of their number.
    """
    dots = 0
    for found in _KEY_TOKEN.finditer(text):
        dots = 0 if found["end"] else dots + (found["dot"] is not None)
        if dots + 1 >= parts:
            return _line_at(text, found.start())
    return None


def line_of_digits(text: str, number: int) -> int | None:
    """Return the first line with so many digits in a row outside of strings and comments; None if there is none."""
    pattern = re.compile(rf"{_STRING}|\#[^\n]*|(?P<digits>\d(?:_?\d){{{number - 1}}})", re.DOTALL)
    return next((_line_at(text, found.start()) for found in pattern.finditer(text) if found["digits"]), None)


def _line_at(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


# --- Writing ---


def written(value: object, *, inline: bool = False) -> str:
    """Return a value as TOML text; a text of several lines stands on several lines unless it is `inline`."""
    if isinstance(value, str):
        return quoted(value) if inline or "\n" not in value else _on_lines(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return _written_moment(value) if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, dict):
        items = ", ".join(f"{written_key(key)} = {written(item, inline=True)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(item, inline=True) for item in value)}]"
    return repr(value)


def written_key(name: str) -> str:
    """Return a key as TOML text."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(text: str) -> str:
    """Return a text as a TOML string on one line, which a terminal can show as it is."""
    return f'"{_escaped_line(text, keep_quotes=False)}"'


def _on_lines(text: str) -> str:
    body = "\n".join(_escaped_line(line, keep_quotes=True) for line in text.split("\n"))
    if body.endswith('"'):  # the last quote first: after that, none is next to the three that end the string
        body = f'{body[:-1]}\\"'
    body = body.replace('"""', '""\\"')
    return f'"""\n{body}"""'


def _escaped_line(line: str, *, keep_quotes: bool) -> str:
    """Escape what TOML wants escaped (what JSON escapes, and DEL), and what ends a line or steers a terminal."""
    parts = [json.dumps(part, ensure_ascii=False)[1:-1] for part in line.split('"')]
    text = ('"' if keep_quotes else '\\"').join(parts)
    return text if text.isprintable() else UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_moment(moment: datetime) -> str:
    offset = moment.utcoffset()
    if offset is None or offset.seconds % 60 or offset.microseconds:  # an offset has whole minutes in TOML
        moment = moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")
