"""A fake graph behaves as the test says."""

import asyncio
from datetime import timedelta

import pytest

from scheduler.testing import FakeGraph, FakeGraphError


def called(graph, times=1, given="Go."):
    """Call a graph; return what it answered, or the type of what it raised."""

    async def main():
        found = []
        for _ in range(times):
            try:
                result = await graph.ainvoke({"messages": [{"role": "user", "content": given}]})
                found.append(result["messages"][-1]["content"])
            except Exception as error:  # noqa: BLE001 (it is what is looked at)
                found.append(type(error))
        return found

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("arguments", "answers"),
    [
        ({}, ["Done.", "Done.", "Done."]),
        ({"answers": "Yes."}, ["Yes.", "Yes.", "Yes."]),
        ({"answers": ["one", "two"]}, ["one", "two", "two"]),
        ({"answers": str.upper}, ["GO.", "GO.", "GO."]),
        ({"fails": 2}, [FakeGraphError, FakeGraphError, "Done."]),
        ({"fails": OSError()}, [OSError, OSError, OSError]),
        ({"fails": [None, KeyError(), None]}, ["Done.", KeyError, "Done."]),
        ({"fails": []}, ["Done.", "Done.", "Done."]),
    ],
)
def test_what_the_calls_do(arguments, answers):
    """The first, the second, and all further ones."""
    graph = FakeGraph(**arguments)
    assert called(graph, 3) == answers
    assert (graph.calls, graph.prompts) == (3, ["Go."] * 3)


@pytest.mark.parametrize("takes", ["0s", 0, 0.0, timedelta(), ["0ms", "0d 0h"]])
def test_how_a_duration_can_be_written(takes):
    """As a text, as seconds, as a timedelta, and as a list."""
    assert called(FakeGraph(takes=takes)) == ["Done."]


@pytest.mark.parametrize("takes", ["soon", "3", "", -1, True, float("nan"), [], None])
def test_a_wrong_duration_is_refused(takes):
    """With what to write instead."""
    with pytest.raises(ValueError, match="give"):
        FakeGraph(takes=takes)


def test_an_input_without_messages():
    """Its text stands for the prompt."""
    graph = FakeGraph(str.lower)

    async def main():
        return await graph.ainvoke("GO.")

    assert asyncio.run(main())["messages"][-1]["content"] == "go."
