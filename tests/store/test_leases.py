"""A lease that is kept in place of passes, as a heartbeat does while the event loop is blocked."""

import pytest
from store_kit import LEASE, START, every, instant, once

from scheduler import StoreError
from scheduler.timing.clock import SECOND


class Clock:
    """Shows the instants that it was given, one at each look, and then the last one."""

    def __init__(self, *seconds):
        self._instants = [instant(each) for each in seconds]

    def now(self):
        return self._instants.pop(0) if len(self._instants) > 1 else self._instants[0]


def keep(process, *seconds):
    return process.session.keep_lease(Clock(*seconds))


def lease_of(process):
    """Return when a process's lease ends, in seconds, or None if it has none."""
    rows = process.sql("SELECT lease_until FROM scheduler_owners WHERE id = :id", id=process.session._owner.id)
    return (rows[0][0] - START) / SECOND if rows else None


def recovered(process, start, end):
    return [run_id for now in range(start, end + 1, 5) for run_id in process.run_pass(now).recovered]


def test_a_lease_that_passes_renew_in_time_is_left_alone(process):
    """There is no write beside the pass's."""
    process.run_pass(10)
    assert lease_of(process) == 10 + LEASE
    assert keep(process, 10 + LEASE / 2 - 1)
    assert lease_of(process) == 10 + LEASE


def test_a_lease_is_kept_while_no_pass_comes(process, new_process):
    """However long: the run stays its owner's, and succeeds."""
    process.add(once(5))
    process.run_pass(5)
    other = new_process(5)
    for now in range(10, 20 * LEASE, 5):
        assert keep(process, now)
        assert other.run_pass(now).recovered == []
    assert process.run_pass(20 * LEASE).taken_over == []
    process.complete(20 * LEASE + 1)
    assert process.statuses() == ["succeeded"]


def test_a_lease_that_is_not_kept_any_more_ends(process, new_process):
    """The process hangs: others take its runs over."""
    process.add(once(5))
    process.run_pass(5)
    other = new_process(5)
    for now in range(10, 5 * LEASE, 5):
        keep(process, now)
        other.run_pass(now)
    assert len(recovered(other, 5 * LEASE, 6 * LEASE + 5)) == 1


def test_a_lease_that_was_lost_is_not_won_back(process, new_process):
    """The next pass finds what was taken over, though it has nothing else to do; then it has a lease again."""
    process.add(once(5, rerun_after_crash=True))
    [claim] = process.run_pass(5).claims
    other = new_process(5)
    assert recovered(other, 10, 5 + 2 * LEASE) == [claim.run_id]
    assert [each.attempt for each in other.running.values()] == [2]
    for _ in range(2):
        assert not keep(process, 80)
        assert lease_of(process) is None
    result = process.run_pass(80.1)
    assert result.taken_over == [claim.run_id]
    assert lease_of(process) == 80.1 + LEASE
    assert keep(process, 80.2)
    other.complete(81)
    assert [(str(run.status), run.attempt) for run in process.runs()] == [("succeeded", 2)]


def test_a_lease_that_ended_and_that_nobody_took_is_kept(process, new_process):
    """Whoever looks later finds it renewed."""
    process.add(once(5))
    process.run_pass(5)
    assert keep(process, 10 * LEASE)
    assert recovered(new_process(9 * LEASE), 10 * LEASE, 10 * LEASE + 10) == []


def test_a_process_that_was_suspended_within_a_renewal_writes_no_old_lease(process):
    """It looks at the clock again when it can write."""
    process.add(every(60))
    assert keep(process, 20, 500)
    assert lease_of(process) == 500 + LEASE


def test_a_lease_is_renewed_after_the_clock_was_set_back(process):
    """No pass noticed that: the loop is blocked."""
    process.run_pass(10_000)
    assert keep(process, 100)
    assert lease_of(process) == 100 + LEASE


def test_a_renewal_that_fails_is_tried_again(process):
    """Not only after half a lease."""

    def fail(_timeout):
        raise StoreError("here", "it is locked", "try again")

    write = process.database.write
    process.database.write = fail
    try:
        for now in (20, 21):
            with pytest.raises(StoreError):
                keep(process, now)
    finally:
        process.database.write = write
    assert keep(process, 22)
    assert lease_of(process) == 22 + LEASE


def test_an_outage_makes_the_next_beat_renew(process):
    """A commit that failed in a pass may have undone a renewal."""
    process.session.failed(instant(1))
    assert keep(process, 2)
    assert lease_of(process) == 2 + LEASE
