"""Threads that take turns: in order, and nobody gives up while others make progress."""

import itertools
import threading
import time

import pytest

from scheduler.store.turns import Turns

SHORT, LONG = 0.05, 20


class Visitor(threading.Thread):
    """Takes a turn, and ends it when it is told to."""

    def __init__(self, turns, timeout=LONG):
        super().__init__(daemon=True)
        self.turns, self.timeout, self.has_succeeded = turns, timeout, True
        self.entered, self.may_leave, self.deadline = threading.Event(), threading.Event(), None
        self.start()

    def run(self):
        self.deadline = self.turns.enter(self.timeout)
        self.entered.set()
        if self.deadline is not None:
            assert self.may_leave.wait(LONG)
            self.turns.leave(has_succeeded=self.has_succeeded)

    def leave(self, *, has_succeeded=True):
        self.has_succeeded = has_succeeded
        self.may_leave.set()
        self.join(LONG)


def waiting(turns, number):
    """Return once so many threads wait."""
    while len(turns._waiting) < number:
        time.sleep(0.001)


@pytest.mark.parametrize("number", [1, 4])
def test_no_more_than_that_are_inside(number):
    """The next one comes in when one leaves."""
    turns = Turns(number)
    inside = [Visitor(turns) for _ in range(number)]
    assert all(each.entered.wait(LONG) for each in inside)
    late = Visitor(turns)
    waiting(turns, 1)
    assert not late.entered.is_set()
    inside[0].leave()
    assert late.entered.wait(LONG)
    for each in [*inside[1:], late]:
        each.leave()
    assert turns.enter(0) is not None


def test_in_the_order_in_which_they_came():
    """Nobody overtakes, and nobody waits for ever."""
    turns = Turns(1)
    visitors = [Visitor(turns)]
    assert visitors[0].entered.wait(LONG)
    for number in range(1, 6):
        visitors.append(Visitor(turns))
        waiting(turns, number)
    for each, following in itertools.pairwise(visitors):
        each.leave()
        assert following.entered.wait(LONG)
        assert sum(other.entered.is_set() and other.is_alive() for other in visitors) == 1
    visitors[-1].leave()


def test_who_waits_less_comes_first():
    """A pass does not stand behind all the calls; who came long before it does not stand behind the pass."""
    turns = Turns(1)
    visitors = [Visitor(turns)]
    assert visitors[0].entered.wait(LONG)
    for number, timeout in enumerate([5, 5, 1, 5, 1, float("inf")], 1):
        visitors.append(Visitor(turns, timeout))
        waiting(turns, number)
    order = [3, 5, 1, 2, 4, 6]
    visitors[0].leave()
    for number in order:
        assert visitors[number].entered.wait(LONG)
        assert sum(each.entered.is_set() and each.is_alive() for each in visitors) == 1
        visitors[number].leave()


def test_who_waits_for_somebody_who_does_not_leave_gives_up():
    """And is not in the way of those behind."""
    turns = Turns(1)
    first = Visitor(turns)
    assert first.entered.wait(LONG)
    began = time.monotonic()
    assert turns.enter(SHORT) is None
    assert time.monotonic() >= began + SHORT
    assert turns.enter(0) is None
    behind = Visitor(turns)
    waiting(turns, 1)
    first.leave()
    assert behind.entered.wait(LONG)
    behind.leave()


def test_nobody_gives_up_while_others_make_progress():
    """However many there are: the time counts from the latest progress."""
    turns = Turns(1)
    visitors = [Visitor(turns, timeout=1) for _ in range(30)]
    for _ in range(30):
        time.sleep(0.1)  # together three times what each is willing to wait
        [inside] = [each for each in visitors if each.entered.is_set() and not each.may_leave.is_set()]
        inside.leave()
        while any(each.is_alive() for each in visitors) and not any(
            each.entered.is_set() and not each.may_leave.is_set() for each in visitors
        ):
            time.sleep(0.001)
    assert all(each.deadline is not None for each in visitors)


def test_failures_are_no_progress():
    """Where each one only waits for a lock and fails, those behind do not wait for all of them."""
    turns = Turns(1)
    first = Visitor(turns)
    assert first.entered.wait(LONG)
    came_at = time.monotonic()
    second, third = Visitor(turns, timeout=1), Visitor(turns, timeout=1)
    waiting(turns, 2)
    time.sleep(0.8)
    first.leave(has_succeeded=False)
    assert second.entered.wait(LONG)
    assert third.entered.wait(LONG)
    assert third.deadline is None
    assert time.monotonic() < came_at + 1.7
    second.leave()


def test_what_is_left_of_the_time():
    """It counts from the coming, or from the latest progress of others."""
    turns = Turns(1)
    before = time.monotonic()
    assert before + LONG <= turns.enter(LONG) <= time.monotonic() + LONG
    second = Visitor(turns, timeout=LONG)
    waiting(turns, 1)
    time.sleep(SHORT)
    turns.leave(has_succeeded=True)
    assert second.entered.wait(LONG)
    assert second.deadline >= before + SHORT + LONG
    third = Visitor(turns, timeout=LONG)
    waiting(turns, 1)
    came_before = time.monotonic()
    time.sleep(SHORT)
    second.leave(has_succeeded=False)
    assert third.entered.wait(LONG)
    assert third.deadline <= came_before + LONG
    third.leave()
