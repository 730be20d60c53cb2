"""Texts of anything that a graph returns or raises: those of `repr` and `str` while they are small, else bounded."""

import enum
import tracemalloc
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from scheduler._safe_text import can_be_printed, error_text, shown, text_of

ROWS = [{"id": each, "text": "x" * 50} for each in range(200_000)]
"""Their `repr` has 15 million characters."""


@dataclass
class Report:
    rows: object


class Model(BaseModel):
    rows: object


class Slotted:
    __slots__ = ("rows",)

    def __init__(self, rows):
        self.rows = rows

    def __repr__(self):
        return f"Slotted({self.rows!r})"


class Rows(list):
    def __repr__(self):
        return f"Rows({list.__repr__(self)})"


class Colour(enum.Enum):
    RED = 1


Pair = namedtuple("Pair", "first second")  # noqa: PYI024 (as older code has them)

SMALL = [
    None,
    True,
    -7,
    1.5,
    2j,
    "it's",
    'a "quote"',
    b"bytes\0",
    bytearray(b"more"),
    [],
    [1, [2, [3]]],
    (),
    (1,),
    (1, 2),
    {},
    {"a": {"b": (1,)}, 2: None},
    set(),
    {1},
    frozenset(),
    frozenset({1}),
    deque([1]),
    OrderedDict(a=1),
    defaultdict(int, a=1),
    Counter("aab"),
    Pair(1, [2]),
    Report([1]),
    Model(rows=[1]),
    Slotted([1]),
    Rows([1]),
    SimpleNamespace(a=1),
    AIMessage("Done."),
    Colour.RED,
    Decimal("1.50"),
    datetime(2026, 1, 1, tzinfo=UTC),
    uuid.UUID(int=7),
    PurePosixPath("/a"),
    ValueError("text"),
    int,
    print,
    range(3),
    ...,
]


@pytest.mark.parametrize("value", SMALL, ids=lambda value: type(value).__name__)
def test_what_is_small_is_shown_as_it_is(value):
    """By its own `repr`, and its own `str`."""
    assert shown(value, 2_000) == repr(value)
    assert text_of(value, 2_000) == str(value)
    assert error_text(ValueError(value), 2_000) == f"ValueError: {value}"


def test_what_contains_itself():
    """Is shown as Python shows it, or almost."""
    items = [1]
    items.append(items)
    mapping = {"a": 1}
    mapping["self"] = mapping
    assert shown(items, 100) == "[1, ...]"
    assert shown(mapping, 100) == "{'a': 1, 'self': ...}"


def test_what_is_nested_deeply():
    """Ends in an ellipsis; no recursion error comes of it."""
    value = []
    for _ in range(100_000):
        value = [value]
    assert shown(value, 2_000) == "[" * 50 + "..." + "]" * 50


@contextmanager
def little_memory():
    """Fail if the body makes a text of much more than what is kept of it."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def doubled(times):
    """Return few objects whose `repr` is long beyond measure."""
    value = "x"
    for _ in range(times):
        value = [value, value]
    return value


HUGE = {
    "list": lambda rows: rows,
    "tuple": tuple,
    "dict": lambda rows: dict(enumerate(rows)),
    "set": lambda rows: set(map(id, rows)),
    "deque": deque,
    "ordered": lambda rows: OrderedDict(enumerate(rows)),
    "subclass": Rows,
    "dataclass": Report,
    "model": lambda rows: Model(rows=rows),
    "slots": Slotted,
    "namespace": lambda rows: SimpleNamespace(rows=rows),
    "message": lambda rows: AIMessage([{"type": "text", "rows": rows}]),
    "nested": lambda rows: {"a": [Report((Report(rows),))]},
    "text": lambda rows: "x" * 50_000_000,
    "text inside": lambda rows: [Report("x" * 50_000_000)],
    "bytes": lambda rows: bytes(50_000_000),
    "a key": lambda rows: {"x" * 50_000_000: 1},
    "a key inside": lambda rows: [SimpleNamespace(rows={"x" * 50_000_000: 1})],
    "integer": lambda rows: 10**100_000,
    "integer inside": lambda rows: [Report(10**100_000)],
    "references": lambda rows: doubled(40),
    "references inside": lambda rows: [Report(doubled(40))],
    "many texts": lambda rows: Report(["x" * 10_000] * 900),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_is_huge_is_shown_in_part(name):
    """No more of it is looked at than there is room for, whatever holds it."""
    value = HUGE[name](ROWS)
    with little_memory():
        text = shown(value, 2_000)
        assert 0 < len(text) <= 2_000
        assert len(error_text(ValueError(value), 2_000)) <= 2_000
        assert len(error_text(KeyError(value), 2_000)) <= 2_000
        assert len(error_text(ValueError(value, value), 2_000)) <= 2_000
        assert not can_be_printed(ValueError(value))


class ShownError(Exception):
    def __init__(self, rows):
        super().__init__("too many rows")
        self.rows = rows

    def __str__(self):
        return f"too many: {self.rows}"


def test_an_exception_that_makes_its_own_text():
    """Is asked for it if that is small; else its arguments are shown."""
    assert error_text(ShownError([1]), 100) == "ShownError: too many: [1]"
    with little_memory():
        assert error_text(ShownError(ROWS), 100) == "ShownError: too many rows"


def test_an_exception_that_leaves_out_what_it_holds():
    """Is asked for its text however much that is."""
    with pytest.raises(UnicodeDecodeError) as caught:
        (b"\xff" * 10_000_000).decode()
    with little_memory():
        assert error_text(caught.value, 2_000).startswith("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff")
        assert can_be_printed(caught.value)


def test_notes_count_as_well():
    """A traceback shows them."""
    error = ValueError("small")
    error.add_note("of a few words")
    assert can_be_printed(error)
    error.add_note("x" * 1_000_000)
    assert not can_be_printed(error)
    assert error_text(error, 100) == "ValueError: small"


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_what_led_to_an_exception_counts_as_well(link):
    """A log would print it, too."""
    error = ValueError("small")
    assert can_be_printed(error)
    setattr(error, link, ValueError(ROWS))
    assert not can_be_printed(error)
    assert not can_be_printed(ExceptionGroup("group", [ValueError(1), error]))
