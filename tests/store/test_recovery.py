"""Runs whose process is gone: who is taken for dead, when, and what becomes of the run and of its late owner."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from store_kit import DAY, LEASE, Process, every, instant, once

from scheduler import RunStatus
from scheduler.store import RESTART_LIMIT, STOPPED, owners

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc tells one process from another")


@pytest.fixture
def child():
    """Return a process that lives until the test is over."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def set_owner(process, **values):
    for name, value in values.items():
        process.sql(f"UPDATE scheduler_owners SET {name} = :value", value=value)


def started_at(pid):
    return int(owners._stat(pid)[owners._STARTED])


# --- Who is dead ---


@needs_proc
def test_a_run_of_a_process_that_has_ended_is_recovered_at_once(process, new_process, dead_pid):
    """Long before its lease is over; the history says why."""
    process.add(every(60))
    [claim] = process.run_pass(60).claims
    process.die(dead_pid)
    assert new_process(61).run_pass(61).recovered == [claim.run_id]
    [run] = process.runs()
    assert (run.status, run.error) == (RunStatus.INTERRUPTED, "its process died")


@needs_proc
def test_a_killed_child_is_dead_before_it_is_waited_for(process, new_process, child):
    """A zombie is dead."""
    process.add(every(60))
    process.run_pass(60)
    set_owner(process, pid=child.pid, started=started_at(child.pid))
    other = new_process(61)
    assert other.run_pass(61).recovered == []
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert len(other.run_pass(62).recovered) == 1
    child.wait()


@needs_proc
def test_a_number_that_another_process_has_now_is_dead(process, new_process, child):
    """The start time tells one process from the next of the same number."""
    process.add(every(60))
    process.run_pass(60)
    set_owner(process, pid=child.pid, started=started_at(child.pid) - 1)
    assert len(new_process(61).run_pass(61).recovered) == 1


@pytest.mark.parametrize("field", ["boot", "namespace"])
def test_a_process_elsewhere_is_judged_by_its_lease(process, new_process, dead_pid, field):
    """Numbers of processes mean nothing across machines and containers."""
    process.add(every(60))
    process.run_pass(60)
    set_owner(process, pid=dead_pid, **{field: "another"})
    other = new_process(61)
    assert recovered(other, 61, 60 + LEASE) == []
    assert len(other.run_pass(60 + LEASE + 1).recovered) == 1
    assert "lease" in process.runs()[0].error


def test_where_nothing_is_known_of_processes_the_lease_decides(process, new_process, dead_pid):
    """As on systems without /proc: an empty name is nobody's."""
    process.add(every(60))
    process.run_pass(60)
    set_owner(process, pid=dead_pid, boot="", namespace="")
    assert new_process(61).run_pass(61).recovered == []


@needs_proc
@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), PermissionError(13, "hidden")])
def test_a_process_that_cannot_be_looked_at_is_not_dead(process, new_process, child, monkeypatch, error):
    """A process that has run out of file descriptors, or may not see others, must not declare them dead."""
    process.add(every(60))
    process.run_pass(60)
    set_owner(process, pid=child.pid, started=started_at(child.pid))
    other = new_process(61)

    def refuse(*_args, **_options):
        raise error

    monkeypatch.setattr(Path, "read_text", refuse)
    assert other.run_pass(62).recovered == []


def test_an_owner_that_is_not_known_at_all_is_dead(process, new_process):
    """Its row is gone: it has said itself that it has ended."""
    process.add(every(60))
    process.run_pass(60)
    process.sql("DELETE FROM scheduler_owners")
    assert len(new_process(61).run_pass(61).recovered) == 1


def test_a_process_that_ended_as_it_should_leaves_nothing(process, new_process):
    """Its outcomes are written, its owner's row is gone."""
    process.add(every(60))
    process.run_pass(60)
    process.end(61, RunStatus.INTERRUPTED)
    assert process.session.end(process._ended, instant(61)).lost == []
    assert process.sql("SELECT * FROM scheduler_owners") == []
    assert new_process(62).run_pass(62).recovered == []
    assert process.statuses() == ["interrupted"]


def test_owners_that_were_killed_while_idle_are_forgotten(process, new_process, dead_pid):
    """They do not pile up, one for each start."""
    for now in range(1, 6):
        new_process(now).die(dead_pid)
    process.run_pass(DAY + 10)
    process.run_pass(3 * DAY)
    assert len(process.sql("SELECT * FROM scheduler_owners")) <= 1


# --- Leases ---


def recovered(process, start, end):
    """Make passes all the while; return which runs they recovered."""
    return [run_id for now in range(start, end + 1, 5) for run_id in process.run_pass(now).recovered]


def test_a_process_that_makes_passes_keeps_its_lease(process, new_process):
    """However long its runs are running."""
    process.add(every(10_000))
    process.run_pass(10_000)
    other = new_process(10_000)
    for now in range(10_000, 10_000 + 10 * LEASE, 5):
        process.run_pass(now)
        assert other.run_pass(now).recovered == []
    assert process.statuses() == ["running"]


def test_a_lease_that_is_not_renewed_ends(process, new_process):
    """A process that gives no sign for longer than its lease has lost its runs."""
    process.add(every(60))
    process.run_pass(60)
    other = new_process(61)
    assert recovered(other, 65, 60 + LEASE) == []
    assert len(recovered(other, 60 + LEASE, 60 + LEASE + 5)) == 1


def test_no_lease_is_taken_as_ended_after_an_outage(process, new_process):
    """Nobody could renew: there is time for that, one lease long, when the database is back."""
    process.add(every(60))
    process.run_pass(60)
    other = new_process(61)
    for now in range(65, 200, 5):
        other.session.failed(instant(now))
    assert recovered(other, 200, 195 + LEASE - 5) == []
    assert len(recovered(other, 195 + LEASE, 200 + LEASE)) == 1


def test_no_lease_is_taken_as_ended_after_a_long_absence(process, new_process):
    """A machine that slept has put all its processes to sleep."""
    process.add(every(10_000))
    other = new_process(0)
    process.run_pass(10_000)
    other.run_pass(10_000)
    assert other.run_pass(20_000).recovered == []
    process.run_pass(20_001)
    assert recovered(other, 20_005, 20_005 + LEASE // 2) == []
    assert process.statuses()[0] == "running"


def test_a_process_that_starts_judges_by_leases_after_one_lease_length(process, new_process):
    """A restarted container recovers what the one before it left: not at once, as all may have slept, but soon."""
    process.add(every(60))
    process.run_pass(60)
    set_owner(process, boot="another")
    other = new_process(1000)
    assert recovered(other, 1000, 1000 + LEASE - 5) == []
    assert len(other.run_pass(1000 + LEASE).recovered) == 1
    assert "lease" in process.runs()[0].error


def outage(process, start, end):
    """Let a process try in vain to use the database."""
    for now in range(start, end, 5):
        process.session.failed(instant(now))


def test_a_process_that_starts_as_an_outage_ends_declares_nobody_dead(process, new_process):
    """A process that ran all the while has one lease length to renew its lease, also if others were faster."""
    process.add(once(5, rerun_after_crash=True))
    process.run_pass(5)
    faster = new_process(5)
    for each in (process, faster):
        each.run_pass(20)
        outage(each, 21, 60)
    faster.run_pass(60)
    starting = new_process(60)
    assert starting.run_pass(60.01).recovered == []
    assert process.run_pass(62).taken_over == []
    for now in range(65, 60 + 2 * LEASE, 5):
        assert starting.run_pass(now).recovered == process.run_pass(now).recovered == []
    assert process.statuses() == ["running"]


def test_a_short_lease_does_not_judge_a_long_one_too_soon(process, new_process):
    """A process with a long lease may try again later than one with a short lease would wait."""
    process.add(once(5))
    process.run_pass(5)
    outage(process, 21, 60)
    impatient = new_process(60, lease=4)
    for now in range(61, 60 + LEASE):
        assert impatient.run_pass(now).recovered == []
    assert len(impatient.run_pass(60 + LEASE).recovered) == 1


def test_a_long_lease_judges_a_short_one_after_its_own_length(new_process):
    """As it always did."""
    brief = new_process(0, lease=4)
    brief.add(once(5))
    brief.run_pass(5)
    other = new_process(5)
    assert recovered(other, 5, 5 + LEASE - 5) == []
    assert len(other.run_pass(5 + LEASE).recovered) == 1


def test_a_scheduler_that_starts_again_as_an_outage_ends_declares_nobody_dead(process, new_process):
    """What it knew of leases before it was stopped is outdated."""
    process.add(once(5))
    process.run_pass(5)
    other = new_process(5)
    other.session.end([], instant(20))
    other.begin(100)
    assert other.run_pass(100).recovered == []
    assert process.run_pass(102).taken_over == []
    assert process.statuses() == ["running"]


@needs_proc
def test_a_process_that_starts_as_an_outage_ends_recovers_runs_of_the_known_dead(process, new_process, dead_pid):
    """Their process is gone: no renewal is to be waited for."""
    process.add(once(5))
    process.run_pass(5)
    outage(process, 21, 60)
    process.die(dead_pid)
    assert len(new_process(60).run_pass(60).recovered) == 1


def test_a_process_whose_own_lease_is_gone_declares_nobody_dead(process, new_process):
    """As in a database that was restored from a copy, where every lease is as old as the copy."""
    process.add(once(5))
    process.run_pass(5)
    other = new_process(5)
    for now in range(10, 80, 5):
        other.run_pass(now)
        process.run_pass(now)
    process.sql("UPDATE scheduler_owners SET lease_until = :old", old=instant(30))
    process.sql("DELETE FROM scheduler_owners WHERE id = :id", id=other.session._owner.id)
    assert other.run_pass(80).recovered == []
    process.run_pass(80)
    assert recovered(other, 85, 85) == []
    assert process.statuses() == ["running"]


def test_an_idle_process_that_starts_a_run_has_a_lease_for_it(process, new_process):
    """The pass that claims renews a lease that has run out meanwhile."""
    process.add(every(10_000))
    other = new_process(0)
    for now in range(0, 10_001, 10):
        other.run_pass(now, slots=0)
    process.run_pass(10_000)
    assert other.run_pass(10_001).recovered == []


# --- A late owner ---


def test_a_suspended_process_learns_that_its_run_was_taken_over(process, new_process):
    """Its outcome is refused; what the history says stays."""
    process.add(once(60))
    [claim] = process.run_pass(60).claims
    other = new_process(61)
    recovered(other, 65, 60 + LEASE + 5)
    result = process.run_pass(200)
    assert result.taken_over == [claim.run_id]
    assert [each.claim for each in process.complete(201).lost] == [claim]
    assert process.statuses() == ["interrupted"]


def test_a_late_outcome_does_not_touch_the_attempt_that_followed(process, new_process):
    """Neither does a late failure put the run back into the queue."""
    process.add(once(60, rerun_after_crash=True, max_attempts=9, retry_delay_seconds=0))
    process.run_pass(60)
    other = new_process(61)
    recovered(other, 65, 60 + LEASE + 10)
    assert [claim.attempt for claim in other.running.values()] == [2]
    for status in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.PENDING):
        late = Process(process.database)
        late.session._owner, late.running = process.session._owner, dict(process.running)
        late.complete(101, status)
        assert process.statuses() == ["running"]
    other.complete(102)
    [run] = process.runs()
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 2)


def test_a_process_does_not_start_an_attempt_beside_its_own_earlier_one(process, new_process):
    """A run that was taken from it and waits again is not given to it before it has let go of it."""
    process.add(once(60, rerun_after_crash=True))
    [claim] = process.run_pass(60).claims
    other = new_process(61)
    for now in range(65, 60 + LEASE + 10, 5):
        other.run_pass(now, slots=0)
    assert process.statuses() == ["pending"]
    assert process.run_pass(200).claims == []
    process.end(201, RunStatus.CANCELLED)
    assert process._ended[0].claim == claim
    process.run_pass(201)
    [again] = process.running.values() or process.run_pass(202).claims
    assert (again.run_id, again.attempt) == (claim.run_id, 2)


# --- What becomes of the run ---


@needs_proc
def test_a_run_that_may_be_rerun_has_a_further_attempt(process, new_process, dead_pid):
    """The interrupted attempt stays visible."""
    process.add(every(600, rerun_after_crash=True))
    process.run_pass(600)
    process.die(dead_pid)
    later = new_process(601)
    later.run_pass(601)
    later.run_pass(601)
    [claim] = later.running.values()
    assert claim.attempt == 2
    later.complete(602)
    [run] = process.runs()
    assert [str(each.status) for each in run.earlier_attempts] == ["interrupted"]
    assert run.status is RunStatus.SUCCEEDED


@needs_proc
def test_a_run_that_kills_its_process_is_given_up_some_day(process, new_process, dead_pid):
    """After so many further attempts it stays `interrupted`."""
    process.add(every(100_000, rerun_after_crash=True))
    attempts = []
    for number in range(RESTART_LIMIT + 5):
        worker = new_process(100_000 + number)
        worker.run_pass(100_000 + number)
        worker.run_pass(100_000 + number)
        attempts += [claim.attempt for claim in worker.running.values()]
        worker.die(dead_pid)
    assert attempts == list(range(1, RESTART_LIMIT + 2))
    assert process.statuses() == ["interrupted"]


def restarts(process, new_process, end):
    """Let run after run be cut off, each in a process of its own; return the attempts that were started."""
    attempts = []
    for number in range(RESTART_LIMIT + 5):
        worker = new_process(100_000 + number)
        worker.run_pass(100_000 + number)
        worker.run_pass(100_000 + number)
        attempts += [claim.attempt for claim in worker.running.values()]
        end(worker, 100_000 + number)
    return attempts


def stop(worker, now):
    """End a process as a stop does, which cancels what is running."""
    worker.end(now, RunStatus.INTERRUPTED, error=STOPPED)
    worker.session.end(worker._ended, instant(now))
    worker._ended = []


def test_a_run_that_stops_its_process_is_given_up_some_day(process, new_process):
    """A run that restarts its own service each time must end, too: stops count like crashes."""
    process.add(every(100_000, rerun_after_crash=True))
    assert restarts(process, new_process, stop) == list(range(1, RESTART_LIMIT + 2))
    [run] = process.runs()
    assert (run.status, run.error) == (RunStatus.INTERRUPTED, STOPPED)


@needs_proc
def test_stops_and_crashes_count_together(process, new_process, dead_pid):
    """However the attempts were cut off: they brought nothing."""
    process.add(every(100_000, rerun_after_crash=True))
    ends = itertools.cycle([stop, lambda worker, _now: worker.die(dead_pid)])

    def end(worker, now):
        next(ends)(worker, now)

    attempts = restarts(process, new_process, end)
    assert attempts == list(range(1, RESTART_LIMIT + 2))
    assert process.statuses() == ["interrupted"]


def test_a_run_with_checkpoints_is_always_taken_up_again(process, new_process):
    """What starts it sees in the checkpoints whether it makes progress; the store cannot know."""
    process.add(every(100_000))
    interrupted = []
    for number in range(3 * RESTART_LIMIT):
        worker = new_process(100_000 + number)
        worker.is_checkpointed = lambda _task: True
        worker.run_pass(100_000 + number)
        [claim] = worker.running.values()
        interrupted.append(claim.interrupted)
        stop(worker, 100_000 + number)
    assert interrupted == [tuple(range(1, number + 1)) for number in range(3 * RESTART_LIMIT)]
    assert process.statuses() == ["pending"]


@needs_proc
def test_a_removed_task_is_not_rerun_after_a_crash(process, new_process, dead_pid):
    """Its run ends with the process."""
    process.add(every(60, rerun_after_crash=True))
    process.run_pass(60)
    process.remove(61)
    process.die(dead_pid)
    later = new_process(62)
    later.run_pass(62)
    assert later.started(63) == []
    assert later.statuses() == ["interrupted"]


@needs_proc
def test_the_due_time_after_a_crash_is_not_skipped_for_a_run_that_is_dead(process, new_process, dead_pid):
    """The owner is known to be dead, so no run of the task is running."""
    process.add(every(60))
    process.run_pass(60)
    process.die(dead_pid)
    later = new_process(125)
    later.run_pass(125)
    later.run_pass(125)
    assert process.history() == [("interrupted", 60, 0), ("running", 120, 0)]


@needs_proc
def test_a_one_time_task_that_was_interrupted_is_finished(process, new_process, dead_pid):
    """It leaves the list."""
    process.add(once(60))
    process.run_pass(60)
    process.die(dead_pid)
    new_process(61).run_pass(61)
    assert process.listed() is None


@needs_proc
def test_runs_of_many_dead_processes_are_recovered_together(process, new_process, dead_pid):
    """One pass is enough."""
    process.add(*(every(60, task_id=f"t{number}") for number in range(12)))
    workers = [new_process(60) for _ in range(3)]
    for worker in workers:
        worker.run_pass(60, slots=4)
    for worker in workers:
        worker.die(dead_pid)
    assert len(new_process(61).run_pass(61, slots=0).recovered) == 12


@needs_proc
def test_a_run_that_was_given_up_cannot_be_recovered_twice(process, new_process, dead_pid):
    """The second pass finds nothing to do, nor does another process."""
    process.add(every(60))
    process.run_pass(60)
    process.die(dead_pid)
    later = new_process(61)
    assert len(later.run_pass(61).recovered) == 1
    assert later.run_pass(61).recovered == []
    assert new_process(62).run_pass(62).recovered == []
