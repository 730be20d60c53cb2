"""A semaphore: threads come in order, and none gives up while others make progress."""

import itertools
import threading
import time

import pytest

from scheduler.store.database.semaphore import FairSemaphore

SHORT, LONG = 0.05, 20


class Visitor(threading.Thread):
    """A thread that is let in, and leaves when the test says so."""

    def __init__(self, semaphore, timeout=LONG):
        super().__init__(daemon=True)
        self.semaphore, self.timeout, self.has_succeeded = semaphore, timeout, True
        self.entered, self.may_leave, self.deadline = threading.Event(), threading.Event(), None
        self.start()

    def run(self):
        self.deadline = self.semaphore.acquire(self.timeout)
        self.entered.set()
        if self.deadline is not None:
            assert self.may_leave.wait(LONG)
            self.semaphore.release(has_succeeded=self.has_succeeded)

    def leave(self, *, has_succeeded=True):
        self.has_succeeded = has_succeeded
        self.may_leave.set()
        self.join(LONG)


def waiting(semaphore, number):
    """Return once so many threads wait."""
    while len(semaphore._waiting) < number:
        time.sleep(0.001)


@pytest.mark.parametrize("number", [1, 4])
def test_no_more_than_that_are_inside(number):
    """The next one comes in when one leaves."""
    semaphore = FairSemaphore(number)
    inside = [Visitor(semaphore) for _ in range(number)]
    assert all(each.entered.wait(LONG) for each in inside)
    late = Visitor(semaphore)
    waiting(semaphore, 1)
    assert not late.entered.is_set()
    inside[0].leave()
    assert late.entered.wait(LONG)
    for each in [*inside[1:], late]:
        each.leave()
    assert semaphore.acquire(0) is not None


def test_in_the_order_in_which_they_came():
    """Nobody overtakes, so nobody waits without end."""
    semaphore = FairSemaphore(1)
    visitors = [Visitor(semaphore)]
    assert visitors[0].entered.wait(LONG)
    for number in range(1, 6):
        visitors.append(Visitor(semaphore))
        waiting(semaphore, number)
    for each, following in itertools.pairwise(visitors):
        each.leave()
        assert following.entered.wait(LONG)
        assert sum(other.entered.is_set() and other.is_alive() for other in visitors) == 1
    visitors[-1].leave()


def test_who_waits_less_comes_first():
    """A pass does not stand behind all the calls; who came long before it does not stand behind the pass."""
    semaphore = FairSemaphore(1)
    visitors = [Visitor(semaphore)]
    assert visitors[0].entered.wait(LONG)
    for number, timeout in enumerate([5, 5, 1, 5, 1, float("inf")], 1):
        visitors.append(Visitor(semaphore, timeout))
        waiting(semaphore, number)
    order = [3, 5, 1, 2, 4, 6]
    visitors[0].leave()
    for number in order:
        assert visitors[number].entered.wait(LONG)
        assert sum(each.entered.is_set() and each.is_alive() for each in visitors) == 1
        visitors[number].leave()


def test_who_waits_for_somebody_who_does_not_leave_gives_up():
    """And is not in the way of those behind."""
    semaphore = FairSemaphore(1)
    first = Visitor(semaphore)
    assert first.entered.wait(LONG)
    began = time.monotonic()
    assert semaphore.acquire(SHORT) is None
    assert time.monotonic() >= began + SHORT
    assert semaphore.acquire(0) is None
    behind = Visitor(semaphore)
    waiting(semaphore, 1)
    first.leave()
    assert behind.entered.wait(LONG)
    behind.leave()


def test_nobody_gives_up_while_others_make_progress():
    """However many there are: the time counts from the latest progress."""
    semaphore = FairSemaphore(1)
    visitors = [Visitor(semaphore, timeout=1) for _ in range(30)]
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
    semaphore = FairSemaphore(1)
    first = Visitor(semaphore)
    assert first.entered.wait(LONG)
    came_at = time.monotonic()
    second, third = Visitor(semaphore, timeout=1), Visitor(semaphore, timeout=1)
    waiting(semaphore, 2)
    time.sleep(0.8)
    first.leave(has_succeeded=False)
    assert second.entered.wait(LONG)
    assert third.entered.wait(LONG)
    assert third.deadline is None
    assert time.monotonic() < came_at + 1.7
    second.leave()


def test_what_is_left_of_the_time():
    """It counts from the coming, or from the latest progress of others."""
    semaphore = FairSemaphore(1)
    before = time.monotonic()
    assert before + LONG <= semaphore.acquire(LONG) <= time.monotonic() + LONG
    second = Visitor(semaphore, timeout=LONG)
    waiting(semaphore, 1)
    time.sleep(SHORT)
    semaphore.release(has_succeeded=True)
    assert second.entered.wait(LONG)
    assert second.deadline >= before + SHORT + LONG
    third = Visitor(semaphore, timeout=LONG)
    waiting(semaphore, 1)
    came_before = time.monotonic()
    time.sleep(SHORT)
    second.leave(has_succeeded=False)
    assert third.entered.wait(LONG)
    assert third.deadline <= came_before + LONG
    third.leave()
