"""The last outcomes of a scheduler that stops go into the store, or else into a file, or else the log says so."""

from pathlib import Path

import pytest

from scheduler.engine.last_outcomes import TRIES, write_last
from scheduler.errors import StoreError

LOCKED = StoreError("here", "another process has locked it", "try again")


class Store:
    """Fails to write some times, and leaves files as the test says."""

    def __init__(self, failures, leave=lambda: None, error=LOCKED):
        self.failures, self.error = failures, error
        self.tries, self.left = 0, []
        self._leave = leave

    def end(self, outcomes, now, steps):
        self.tries += 1
        if self.tries <= self.failures:
            raise self.error
        return outcomes, now, steps

    def leave(self, outcomes):
        self.left.append(outcomes)
        return self._leave()


class Clock:
    def now(self):
        return 7


def ignore(_seconds):
    """Sleep for no time."""


def test_a_store_that_works_is_written_once(caplog):
    """Nothing is left, nothing is logged."""
    store = Store(0)
    pauses = []
    assert write_last(store, ["one"], ["step"], Clock(), sleep=pauses.append) == (["one"], 7, ["step"])
    assert (store.tries, store.left, pauses, caplog.records) == (1, [], [], [])


def test_a_store_that_is_locked_is_tried_again(caplog):
    """Five times in all; a try that succeeds is enough."""
    store = Store(TRIES - 1)
    pauses = []
    assert write_last(store, ["one"], (), Clock(), sleep=pauses.append)
    assert (store.tries, store.left, caplog.records) == (TRIES, [], [])
    assert len(pauses) == TRIES - 1


@pytest.mark.parametrize("error", [LOCKED, ZeroDivisionError("a fault of our own")])
def test_outcomes_that_cannot_be_written_are_left(caplog, error):
    """Whatever the error is; the log says where they are."""
    store = Store(TRIES, leave=lambda: Path("/data/left.json"), error=error)
    assert write_last(store, ["one", "two"], (), Clock(), sleep=ignore) is None
    assert store.left == [["one", "two"]]
    [message] = caplog.messages
    assert f"2 outcomes could not be written ({error}); they are in /data/left.json" in message


def test_outcomes_that_have_no_place_are_lost(caplog):
    """As on PostgreSQL."""
    write_last(Store(1), ["one"], (), Clock(), tries=1)
    assert caplog.messages == [
        f"1 outcomes could not be written ({LOCKED}); the next start finds those runs interrupted"
    ]


def test_outcomes_whose_file_cannot_be_written_are_lost(caplog):
    """The log says why."""

    def fail():
        raise OSError(28, "No space left on device")

    write_last(Store(1, fail), ["one"], (), Clock(), tries=1)
    first, second = caplog.messages
    assert first.endswith("No space left on device")
    assert second.endswith("the next start finds those runs interrupted")


def test_without_outcomes_nothing_is_left(caplog):
    """An idle scheduler may stop while the database is locked."""
    store = Store(TRIES)
    assert write_last(store, [], (), Clock(), sleep=ignore) is None
    assert (store.left, caplog.records) == ([], [])
