"""Interrupts become questions that JSON can carry, whatever the graph gave to `interrupt()`."""

import math
import time
from collections.abc import Mapping

import pytest
from langgraph.types import Interrupt
from pydantic import TypeAdapter

from scheduler.graphs.questions import questions_of
from scheduler.models import Question

ADAPTER = TypeAdapter(tuple[Question, ...])


def asked(value):
    """Return the value of the question that an interrupt with this value becomes, written and read again."""
    (question,) = ADAPTER.validate_json(ADAPTER.dump_json(questions_of([Interrupt(value=value, id="q")])))
    return question.value


@pytest.mark.parametrize("value", ["May I?", 7, 10**300, 1.5, True, None, {"a": [1, {"b": None}]}, "", "\0"])
def test_what_json_has_is_kept(value):
    """Text, numbers, lists and dicts arrive as they are."""
    assert asked(value) == value


def nested(depth, wrap):
    value = "core"
    for _ in range(depth):
        value = wrap(value)
    return value


class NoText:
    def __repr__(self):
        raise RuntimeError

    __str__ = __repr__


class NoItems(Mapping):
    def __getitem__(self, key):
        raise KeyError(key)

    def __iter__(self):
        raise RuntimeError

    def __len__(self):
        return 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("half \ud800", "half ?"),
        (b"bytes", "b'bytes'"),
        (object, "<class 'object'>"),
        (NoText(), "(NoText, whose repr raised RuntimeError)"),
        ({1: (2, {3}), None: 4, "\udfff": 5, NoText(): 6}, {"1": [2, [3]], "None": 4, "?": 5}),
        ({10**5_000: 10**5_000}, None),
        (NoItems(), "<test_runner_"),
        (nested(400, lambda value: [value]), None),
        (nested(100_000, lambda value: {"inner": value}), None),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
)
def test_what_json_does_not_have_is_shown(value, shown):
    """As text where it has to be; nothing is raised, and the question can be written and read."""
    found = asked(value)
    if isinstance(shown, dict):
        assert found.items() >= shown.items()
    elif shown is not None:
        assert found == shown or found.startswith(shown)


def test_an_integer_that_no_reader_takes():
    """Python reads and writes integers of up to 4,300 digits; larger ones are shown as hexadecimal text."""
    assert asked(10**5_000).startswith("0x")
    assert len(asked(10**5_000)) < 3_000
    assert asked({"amount": [10**5_000]})["amount"][0].startswith("0x")


def test_a_value_that_contains_itself():
    """A list that is its own member twice would have 2^50 members down to the limit of depth."""
    value = []
    value += [value, value]
    start = time.process_time()
    asked(value)
    assert time.process_time() - start < 5


def test_a_long_list_is_cut():
    """After ten thousand members; the graph itself has the whole list."""
    found = asked(list(range(50_000)))
    assert found[:3] == [0, 1, 2]
    assert found[-1] == "…"
    assert len(found) <= 10_000


def test_interrupts_of_other_shapes():
    """An object without an id, and what is no list of interrupts."""
    assert [(each.id, each.value) for each in questions_of([{"id": "a", "value": 1}, "bare"])] == [
        ("a", 1),
        ("None", "bare"),
    ]
    assert questions_of(None) == questions_of("text") == ()
