"""Texts and values from outside, made safe to show: bounded, and without what ends a line or steers a terminal."""

import re
from typing import Final

from scheduler.redaction import beginning, redact

LONGEST_SHOWN: Final = 255
"""A longer value is cut where it is shown."""
_BEGINNING: Final = 60
_LONGEST_LINE: Final = 2_000
_MOST_LINES: Final = 400

_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Characters that change the direction of writing: a terminal then shows something other than the text says."""
UNSAFE: Final = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_BIDI}]")
"""A character that ends a line or steers a terminal; all of them have four hexadecimal digits."""
_UNSAFE_IN_LINES: Final = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_BIDI}]")


def escaped(text: str) -> str:
    r"""Return a text as one line: control characters, line breaks and bidi controls become `\n`, `\x1b`, `\u2028`."""
    return text if text.isprintable() else UNSAFE.sub(_escape, text)


def escaped_lines(text: str) -> str:
    """Return a text as `escaped` does, but keep its line feeds and tabs."""
    return text if text.isprintable() else _UNSAFE_IN_LINES.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def indented(text: str) -> str:
    """Return a text of several lines for a log: each line indented, escaped and bounded, and not too many of them."""
    lines = text.rstrip("\n").split("\n")
    left_out = len(lines) - _MOST_LINES
    if left_out > 0:
        half = _MOST_LINES // 2
        lines = [*lines[:half], f"… ({left_out} lines are left out)", *lines[-half:]]
    return "\n".join(f"  {escaped(line[:_LONGEST_LINE])}" for line in lines)


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded: half of a surrogate pair is a character to Python, and to nobody else."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def shown(value: object) -> str:
    """Return what an error shows of a value: its repr without secrets of URLs, cut if it is long."""
    text = _repr(value)
    return redact(text) if len(text) <= LONGEST_SHOWN else f"{beginning(text, _BEGINNING)}… ({len(text)} characters)"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 (it may be nested too deeply, an integer of too many digits, or fail in any way)
        return f"({type(value).__name__})"
