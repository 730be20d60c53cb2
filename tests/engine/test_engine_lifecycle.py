"""The states of an engine: docs/architecture.md says how they follow each other, and no other move can be made."""

from pathlib import Path

import pytest

from scheduler.engine import MOVES, State
from scheduler.engine.lifecycle import Lifecycle

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = PAGE.split("\n| from | to | what moves the scheduler |\n")[1].split("\n\n")[0]
MAKE = {
    State.RUNNING: Lifecycle.begin,
    State.DRAINING: lambda lifecycle: lifecycle.drain(30.0),
    State.CANCELLED: Lifecycle.cancel,
    State.STOPPED: Lifecycle.finish,
}
PATHS = {
    State.STOPPED: [],
    State.RUNNING: [State.RUNNING],
    State.DRAINING: [State.RUNNING, State.DRAINING],
    State.CANCELLED: [State.RUNNING, State.CANCELLED],
}
REPEATABLE = {State.STOPPED, State.CANCELLED}
"""A move to these states is no error where they are the present one."""


def in_state(state):
    lifecycle = Lifecycle()
    for each in PATHS[state]:
        MAKE[each](lifecycle)
    assert lifecycle.state is state
    return lifecycle


def test_the_page_has_each_move():
    """The table of the scheduler's states is what the code allows."""
    rows = [row.strip("|").split("|") for row in TABLE.splitlines() if "---" not in row]
    documented = {(State(begin.strip(" `")), State(end.strip(" `"))) for begin, end, _ in rows}
    assert documented == {(begin, end) for begin, ends in MOVES.items() for end in ends}


@pytest.mark.parametrize("begin", State)
@pytest.mark.parametrize("end", State)
def test_moves(begin, end):
    """A move of the table is made; any other raises and changes nothing."""
    lifecycle = in_state(begin)
    if end in MOVES[begin] or (begin is end and end in REPEATABLE):
        MAKE[end](lifecycle)
        assert lifecycle.state is end
        return
    with pytest.raises(RuntimeError, match="cannot become"):
        MAKE[end](lifecycle)
    assert lifecycle.state is begin


def test_who_waits_for_the_stop():
    """The wait is over before the first start, and after each stop."""
    lifecycle = Lifecycle()
    assert lifecycle.stopped().done()
    lifecycle.begin()
    stopped = lifecycle.stopped()
    lifecycle.drain(0)
    assert not stopped.done()
    lifecycle.finish()
    assert stopped.done()
    assert lifecycle.stopped() is stopped
